#!/usr/bin/env bash
# Derives every lock that the images install from requirements.lock, so that a version is chosen in one place.
# Run after a change of pyproject.toml, requirements.lock or docker/requirements/*.in. Needs `uv`.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
flags=(--quiet --universal --python-version 3.11 --generate-hashes --constraint requirements.lock)
# The header that uv writes would repeat the index settings of whoever runs this; this one names only the command.
"$uv" pip compile pyproject.toml "${flags[@]}" --custom-compile-command docker/compile-locks.sh -o requirements-runtime.lock
for part in service node build; do
  "$uv" pip compile "docker/requirements/$part.in" "${flags[@]}" --custom-compile-command docker/compile-locks.sh \
    -o "docker/requirements/$part.lock"
done
