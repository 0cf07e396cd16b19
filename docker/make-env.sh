#!/usr/bin/env bash
# Writes docker/.env with random passwords for compose.yaml; never over one that is there.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
# `noclobber` makes the creation itself fail where there is one: PostgreSQL keeps the first password it was given.
set -o noclobber
# Hexadecimal: one of them becomes a part of a URL.
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
printf 'POSTGRES_PASSWORD=%s\nREDIS_PASSWORD=%s\n' "$(random)" "$(random)" >.env
echo "docker/.env is written, readable by you alone"
