#!/bin/bash
# The head of a Ray cluster, on the machine that the command is then run on.
#
# Whoever reaches Ray's ports runs code as you. So: a network of your own, a token, no dashboard.
#   ray get-auth-token --generate    # once; copy ~/.ray/auth_token to every machine
#   ADDRESS=10.0.0.1 examples/ray/head.sh
set -euo pipefail

: "${ADDRESS:?the address of this machine in the network of the cluster, never 0.0.0.0}"
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}" RAY_USAGE_STATS_ENABLED=0
exec ray start --head --node-ip-address "$ADDRESS" --port "${PORT:-6379}" --include-dashboard=false "$@"
