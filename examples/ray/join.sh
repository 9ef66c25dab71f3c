#!/bin/bash
# Another machine of the cluster. It needs the same minor version of Python, the same Ray and rmbench, and the model where
# the head has it: a hub cache or a shared folder.
#
#   HEAD=10.0.0.1 examples/ray/join.sh
set -euo pipefail

: "${HEAD:?the address of the head}"
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}" RAY_USAGE_STATS_ENABLED=0
exec ray start --address "$HEAD:${PORT:-6379}" "$@"
