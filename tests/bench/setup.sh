#!/bin/bash
# Brings what `make bench-micro` and `make check-perf` need besides cargo: valgrind and strace, with
# apt-get, as root or with sudo. Says what it brings; fails where that cannot be had.
set -eu

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=()
for tool in valgrind strace; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} = 0 ]; then exit; fi
if ! command -v apt-get >/dev/null; then
    echo "setup: install ${missing[*]} first: there is no apt-get here" >&2
    exit 1
fi
echo "setup: installing with apt-get: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
