#!/usr/bin/env bash
# Prints events, one JSON document a line, each once over all runs: a durable
# consumer remembers how far it got.
#
#   dynctl creds add admin --name me --password --out me.url
#   NATS_URL=$(cat me.url) ./follow-events.sh my-alerts unit-exited
#
# With COUNT=N it ends after N events.
set -euo pipefail
durable=$1 type=${2:-*} count=${COUNT:-0}

if ! nats consumer info DYNCTL_EVENTS "$durable" > /dev/null 2>&1; then
  nats consumer add DYNCTL_EVENTS "$durable" --filter "dynctl.events.*.$type.>" \
    --pull --deliver all --ack explicit --wait 30s --defaults > /dev/null
fi

for ((n = 0; count == 0 || n < count; )); do
  # --ack: acknowledged once it is printed.
  event=$(nats consumer next DYNCTL_EVENTS "$durable" --ack --raw --timeout 5s 2> /dev/null) || continue
  [ -n "$event" ] || continue
  echo "$event"
  n=$((n + 1))
done
