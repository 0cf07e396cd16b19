#!/bin/sh
# Leaves of `crypto` only what the server computes with. Usage: drop-key-code.sh SITE_PACKAGES
# What is kept is listed, not what goes: a new file of crypto's is left out until someone decides that the server needs it.
set -eu
cd "$1/crypto"
keep=" __init__ agreement combination encoding errors kernels packing parameters pieces primes ring summation warm_up wire "
for file in *.py; do
  name="${file%.py}"
  case "$keep" in
    *" $name "*) ;;
    *) rm "$file" __pycache__/"$name".*.pyc ;;
  esac
done
