#!/bin/sh
# The demo's operator: one training with all three banks, encrypted, and its model card.
set -eu
CONSORTIUM_TOKEN="$(consortium token create demo-training --role operator --days 1)"
export CONSORTIUM_TOKEN
# The banks enrol once they have their rows.
until [ "$(consortium node list --json | grep -c '"name"')" -ge 3 ]; do sleep 2; done
# A plan keeps its name for ever, so that a second run is another training of the same plan.
consortium plan show demo-trees >/dev/null 2>&1 || consortium plan create /demo/plan.json
consortium training start demo-trees --watch
consortium model card demo-trees
