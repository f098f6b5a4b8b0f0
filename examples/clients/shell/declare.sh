#!/usr/bin/env bash
# Declares a model with the nats command line alone and waits until it is Ready.
#
#   dynctl creds add publisher --server default --password --out publisher.url
#   NATS_URL=$(cat publisher.url) ./declare.sh model.default.tiny model.yaml
#
# Statuses are JSON on one line with type, status, reason and message in this
# order, so grep and sed do; where there is jq, use that.
set -euo pipefail
key=$1 file=$2
timeout=${TIMEOUT:-300}

# condition TYPE: its status, reason and message, from $status.
condition() { grep -o "{\"type\":\"$1\",[^}]*" <<< "$status" | sed 's/.*"status":"\([^"]*\)","reason":"\([^"]*\)","message":"\([^"]*\).*/\1 \2: \3/'; }

nats kv put dynctl_specs "$key" < "$file" > /dev/null
revision=$(nats kv get dynctl_specs "$key" | grep -o 'revision: [0-9]*' | head -1 | grep -o '[0-9]*')
echo "$key is revision $revision"

why='no status'
for ((i = 0; i < timeout; i++)); do
  status=$(nats kv get dynctl_status "$key" --raw 2> /dev/null || true)
  if grep -q "\"observedRevision\":$revision," <<< "$status"; then
    why=$(condition Ready || true)
    case $(condition Accepted || true) in False*) echo "$key is rejected: $(condition Accepted)" >&2; exit 2 ;; esac
    case $why in True*) echo "$key is Ready"; exit 0 ;; esac
  fi
  sleep 1
done
echo "$key is not Ready after $timeout s: $why" >&2
exit 5
