#!/usr/bin/env bash
# Trains the first champion where there is none, then serves it on loopback and shows two decisions.
set -euo pipefail
: "${BIN:?}" "${PORT:?}" "${TRIAGE_HOME:?}"
. "$(dirname "$0")/serving.sh"
SAMPLE=${SAMPLE:-1}
url="http://127.0.0.1:$PORT"
pid_file="$TRIAGE_HOME/serve.pid"
url_file="$TRIAGE_HOME/serve.url"
log="$TRIAGE_HOME/serve.log"
mkdir -p "$TRIAGE_HOME"

if pid=$(serving "$pid_file"); then
  running=$(cat "$url_file" 2>/dev/null || echo "$url")
  echo "· already running (process $pid): $running; make stop ends it"
  [ "$running" = "$url" ] || echo "  for another port: make stop, then make run PORT=$PORT"
  exit 0
fi
data=datasets/tickets.jsonl
[ "$SAMPLE" = 1 ] && [ -f "$TRIAGE_HOME/sample/history.jsonl" ] && data="$TRIAGE_HOME/sample/history.jsonl"
if [ ! -f "$TRIAGE_HOME/models/helpdesk-triage/champion.alias" ]; then
  draft="$TRIAGE_HOME/first-bundle"
  rm -rf "$draft"
  if [ "$SAMPLE" = 1 ]; then
    "$BIN/python" -P scripts/sample_day.py hold-out "$TRIAGE_HOME/sample"
    data="$TRIAGE_HOME/sample/history.jsonl"
  fi
  echo "· training on the shipped tickets (once)"
  "$BIN/triage" train "$data" --map group=organisation --target-risk 0.10 --out "$draft"
  "$BIN/triage" promote
fi
echo "· starting the service"
TRIAGE_HISTORY=${TRIAGE_HISTORY-"'$PWD/${data#"$PWD"/}' --map group=organisation"} \
  "$BIN/triage" serve --port "$PORT" --open-loopback >"$log" 2>&1 &
pid=$!
echo "$pid" >"$pid_file"
echo "$url" >"$url_file"
for _ in $(seq 1 300); do
  if "$BIN/python" -P scripts/ready.py "$url"; then break; fi
  if ! kill -0 "$pid" 2>/dev/null; then
    rm -f "$pid_file"
    grep -v '^{' "$log" >&2 || tail -n 5 "$log" >&2
    exit 2
  fi
  sleep 0.2
done
day="$TRIAGE_HOME/sample/sample-day.jsonl"
if [ "$SAMPLE" = 1 ] && [ -f "$day" ]; then
  "$BIN/python" -P scripts/sample_day.py replay "$url" "$day" && rm "$day"
fi
"$BIN/python" -P scripts/show.py "$url"
echo "· its state is in $TRIAGE_HOME: triage finds it in this directory; elsewhere: export TRIAGE_HOME=$TRIAGE_HOME"
