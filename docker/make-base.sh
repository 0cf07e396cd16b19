#!/usr/bin/env bash
# Makes a base image from Debian's packages alone, for machines that reach no registry. Usage: docker/make-base.sh NAME
# Needs root, debootstrap and buildah. DEBIAN_MIRROR names another mirror than the machine's own.
set -euo pipefail
name="${1:?usage: docker/make-base.sh NAME}"
cd "$(dirname "$0")/.."
docker/need-packages.sh debootstrap buildah
mirror="${DEBIAN_MIRROR:-$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -1 | tr -d ' ' || true)}"
root="$(mktemp -d)"
container=""
finish() {
  [ -z "$container" ] || buildah rm "$container" >/dev/null
  rm -rf --one-file-system "$root"
}
trap finish EXIT
echo "make-base: Debian bookworm with Python" >&2
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 \
  || { tail -20 "$root.log" >&2; exit 1; }
rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}
# The image names Debian's own address, whatever mirror it came from.
echo "deb http://deb.debian.org/debian bookworm main" >"$root/etc/apt/sources.list"
container="$(buildah from scratch)"
buildah add --quiet "$container" "$root" / >/dev/null
buildah config --cmd /bin/bash --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$container"
buildah commit --quiet "$container" "$name" >/dev/null
echo "make-base: $name" >&2
