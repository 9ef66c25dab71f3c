#!/bin/bash
# A run whose rows are computed by WORKERS models on the cluster; `ray stop` on each machine ends the cluster.
#
#   MODEL=org/name TASKS=all OUT=results WORKERS=8 examples/ray/run.sh
set -euo pipefail

: "${MODEL:?the model}" "${TASKS:?the tasks}" "${OUT:?the folder of the records}" "${WORKERS:?how many models are open}"
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}" RAY_USAGE_STATS_ENABLED=0
exec rmbench run --model "$MODEL" --tasks "$TASKS" --out "$OUT" --executor ray --ray-address "${RAY_ADDRESS:-auto}" \
    --workers "$WORKERS" --gpus-per-worker "${GPUS_PER_WORKER:-1}" "$@"
