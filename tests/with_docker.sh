#!/usr/bin/env bash
# Runs a command with a Docker daemon and the base image of the tests: tests/with_docker.sh make test-heavy GROUP=docker
# A daemon that is there is used; otherwise one is started, and ended with the command. As root, Docker is installed
# where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker version >/dev/null 2>&1; then
  if ! command -v dockerd >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null
  fi
  state=$(mktemp -d)
  export DOCKER_HOST="unix://$state/docker.sock"
  # Containers of the tests use the network of the machine; no bridge and no firewall rules are needed.
  dockerd --host "$DOCKER_HOST" --pidfile "$state/pid" --exec-root "$state/exec" --data-root "$state/data" \
    --bridge none --iptables=false >"$state/log" 2>&1 &
  daemon=$!
  end() {
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    umount "$state"/exec/netns/* 2>/dev/null || true # the daemon leaves its network there
    rm -rf "$state" || true
  }
  trap end EXIT
  trap 'exit 130' INT TERM
  for _ in $(seq 120); do
    docker version >/dev/null 2>&1 && break
    kill -0 "$daemon" 2>/dev/null || { tail -n 20 "$state/log" >&2; exit 1; }
    sleep 0.5
  done
  docker version >/dev/null 2>&1 || { echo "The Docker daemon does not answer:" >&2; tail -n 20 "$state/log" >&2; exit 1; }
fi

tests/base_image.sh >/dev/null
"$@"
