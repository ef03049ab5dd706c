#!/usr/bin/env bash
# Makes the image on which the tests of Docker run, where the daemon has none: a small Debian with Python, by
# debootstrap. No registry of images is asked. The system is kept as a tar, so that it is made once per machine.
# Prints the image's name.
set -euo pipefail

image=prefect-ml/test-base:bookworm-1
if docker image inspect "$image" >/dev/null 2>&1; then
  echo "$image"
  exit
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/prefect-ml
packed=$cache/bookworm-1.tar
mkdir -p "$cache"
exec 9>"$packed.lock"
flock 9 # several processes of the tests may want it at once
if [ ! -f "$packed" ]; then
  if ! command -v debootstrap >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
  fi
  work=$(mktemp -d -p "$cache")
  trap 'rm -rf "$work"' EXIT
  debootstrap --variant=minbase --include=python3 bookworm "$work/system" >"$work/log" 2>&1 \
    || { tail -n 20 "$work/log" >&2; exit 1; }
  (cd "$work/system" && rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc usr/share/locale usr/share/man)
  tar -C "$work/system" --numeric-owner -cf "$work/packed" .
  mv "$work/packed" "$packed"
fi
docker import -c 'CMD ["bash"]' "$packed" "$image" >/dev/null
echo "$image"
