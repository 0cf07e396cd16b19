#!/bin/sh
# The demo's operator invites the banks named; each invitation is a file of the demo's own volume. May run again.
set -eu
cd /var/lib/consortium
for bank in "$@"; do
  [ -s "$bank" ] && continue
  [ -n "${CONSORTIUM_TOKEN:-}" ] || CONSORTIUM_TOKEN="$(consortium token create demo-invitations --role admin --days 0.01)"
  export CONSORTIUM_TOKEN
  consortium node invite "$bank" >"$bank.new"
  mv "$bank.new" "$bank"
done
