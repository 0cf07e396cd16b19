#!/usr/bin/env bash
# Builds the images: with docker where an engine answers, else with buildah in chroot isolation, which needs no engine.
#   docker/build-images.sh [service] [worker] [node]      default: all three
# BASE_IMAGE is what they stand on. Where it is unset and no registry answers, docker/make-base.sh makes one from Debian.
# BUILDER=buildah takes buildah although an engine answers. IMAGE_PREFIX and IMAGE_TAG name the result: fraud-consortium/node:dev.
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(service worker node)
prefix="${IMAGE_PREFIX:-fraud-consortium}" tag="${IMAGE_TAG:-dev}"

# pip's index and certificates reach the build as secrets: no layer keeps them.
secrets="$(mktemp -d)"
trap 'rm -rf "$secrets"' EXIT
ca="${PIP_CERT:-${SSL_CERT_FILE:-}}"
: >"$secrets/ca.pem"
{
  echo "[global]"
  if [ -n "$ca" ] && [ -r "$ca" ]; then cat "$ca" >"$secrets/ca.pem"; echo "cert = /run/secrets/ca.pem"; fi
  if [ -n "${PIP_INDEX_URL:-}" ]; then echo "index-url = $PIP_INDEX_URL"; fi
} >"$secrets/pip.conf"

if [ "${BUILDER:-docker}" = docker ] && command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  build=(docker buildx build --load)
  sizes=(docker image ls --format '{{.Repository}}:{{.Tag}}  {{.Size}}')
else
  docker/need-packages.sh buildah
  # Docker's format, since OCI's knows no health check.
  build=(buildah bud --quiet --layers --format docker --isolation chroot --ignorefile docker/Dockerfile.dockerignore)
  sizes=(buildah images --format '{{.Name}}:{{.Tag}}  {{.Size}}')
  if [ -z "${BASE_IMAGE:-}" ]; then
    default="$(sed -n 's/^ARG BASE_IMAGE=//p' docker/Dockerfile)" made=localhost/fraud-consortium/base:bookworm
    # One that was made here is there because no registry answered; asking again would take a minute each time.
    if buildah inspect --type image "$made" >/dev/null 2>&1; then
      BASE_IMAGE="$made"
    elif timeout 60 buildah pull --quiet "$default" >/dev/null 2>&1; then
      BASE_IMAGE="$default"
    else
      docker/make-base.sh "$made"
      BASE_IMAGE="$made"
    fi
  fi
fi
for target in "${targets[@]}"; do
  echo "build-images: $prefix/$target:$tag" >&2
  "${build[@]}" ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} --target "$target" --tag "$prefix/$target:$tag" \
    --secret "id=pip.conf,src=$secrets/pip.conf" --secret "id=ca.pem,src=$secrets/ca.pem" --file docker/Dockerfile .
done
"${sizes[@]}" | grep "$prefix/" || true
