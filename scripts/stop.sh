#!/usr/bin/env bash
# Stops the service that `make run` started, letting it finish what it is doing.
set -euo pipefail
. "$(dirname "$0")/serving.sh"
pid_file="${TRIAGE_HOME:-.triage}/serve.pid"
pid=$(serving "$pid_file") || { rm -f "$pid_file" "${pid_file%.pid}.url"; echo "· nothing is running"; exit 0; }
kill -TERM "$pid" 2>/dev/null || true
for _ in $(seq 1 300); do
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
rm -f "$pid_file" "${pid_file%.pid}.url"
echo "· stopped"
