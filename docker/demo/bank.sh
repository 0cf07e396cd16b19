#!/bin/sh
# One of the demo's banks: simulates everybody's rows and keeps its own, enrols once, then runs as any bank's node does.
set -eu
bank="$1"
data=/var/lib/consortium/transactions.parquet
if [ ! -s "$data" ]; then
  PYTHONPATH=/repository python -m examples.simulator --banks 3 --customers 900 --terminals 240 --out /tmp/simulated
  cp "/tmp/simulated/$bank.parquet" "$data.new"
  mv "$data.new" "$data"
  rm -r /tmp/simulated
fi
if [ ! -e "$BANK_NODE_HOME/identity.json" ]; then
  BANK_NODE_TOKEN="$(cat "/invitations/$bank")"
  export BANK_NODE_TOKEN
  bank-node enrol --url http://service:8440 --name "$bank" --data "$data"
  unset BANK_NODE_TOKEN
fi
exec bank-node run
