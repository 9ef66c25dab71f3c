#!/bin/bash
# Queue an array of shards and, behind it, the merge. What follows goes to `rmbench run`, such as --source hub --limit 100.
#
#   SHARDS=16 MODEL=org/name TASKS=all OUT=rm-out examples/slurm/submit.sh
set -euo pipefail

: "${SHARDS:?into how many shards the rows are cut}"
: "${MODEL:?the model}" "${TASKS:?the tasks}" "${OUT:?the folder of shards and records}"
export SHARDS MODEL TASKS OUT

here=$(dirname "$0")
array=$(sbatch --parsable --array="1-$SHARDS" "$here/shard.sbatch" "$@")
sbatch --dependency="afterok:${array%%;*}" "$here/merge.sbatch"
