#!/bin/bash
# Brings what `cargo test` needs besides cargo, and says what it brings:
#
#   mosquitto-clients   Debian's mosquitto_pub, _sub and _rr, installed with apt-get
#   openssl             makes certificates and shakes hands, installed with apt-get
#   iproute2            gives tests a network of their own, installed with apt-get
#   tshark              decodes the frames that tests/cli records, installed with apt-get
#   mosquitto           Debian's broker and mosquitto_passwd, a peer to compare with: unpacked into
#                       target/peers/, never installed, so that no service starts on this machine
#   paho-mqtt           a third-party client library, in a venv of its own in target/peers/
#
# Works as root, or as a user with sudo. What cannot be had (another distribution, no network, no
# rights) is named loudly and written to target/peers/missing: the tests that need it say SKIPPED
# and pass; every other test runs. Run again at will: it brings only what is missing.
set -eu
cd "$(dirname "$0")/.."

peers=$PWD/target/peers
paho=2.1.0
missing=()
updated=no
mkdir -p "$peers"

say() { printf 'setup: %s\n' "$*"; }

lacking() {
    missing+=("$1")
    say "WARNING: no $1 here ($2): THE TESTS THAT NEED IT ARE SKIPPED"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null && [ -e /etc/debian_version ] &&
        { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }
}

# Package lists may be absent or old on a fresh machine: brought up to date once, when needed.
update() {
    if [ "$updated" = no ]; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return 1
        updated=yes
    fi
}

install() {
    say "installing with apt-get: $*"
    update && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >"$peers/apt.log" 2>&1 ||
        { tail -n 5 "$peers/apt.log"; return 1; }
}

# Name, the command that shows that it is there, the packages that bring it.
tool() {
    local name=$1 check=$2
    shift 2
    if eval "$check" >/dev/null 2>&1; then return; fi
    if ! may_install; then
        lacking "$name" "not a Debian machine, or neither root nor sudo"
    elif ! install "$@" || ! eval "$check" >/dev/null 2>&1; then
        lacking "$name" "apt-get could not bring it"
    fi
}

# The broker's own dependencies, as far as this machine lacks them, are unpacked beside it.
unpack_broker() {
    local at=$peers/mosquitto packages
    [ -x "$at/usr/sbin/mosquitto" ] && return
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    if may_install; then update; fi
    packages=$(apt-get install -s --no-install-recommends mosquitto |
        sed -n 's/^Inst \([^ ]*\) .*/\1/p')
    case " $(echo $packages) " in *" mosquitto "*) ;; *) packages="mosquitto $packages" ;; esac
    say "unpacking into target/peers/mosquitto (not installing):" $packages
    rm -rf "$at" "$peers/debs"
    mkdir -p "$at.new" "$peers/debs"
    # apt's own download user may not write here; it says so and goes on without its sandbox.
    (cd "$peers/debs" && apt-get download -qq $packages 2>"$peers/apt.log") || return 1
    for deb in "$peers"/debs/*.deb; do dpkg-deb -x "$deb" "$at.new"; done
    mv "$at.new" "$at"
}

tool mosquitto-clients 'command -v mosquitto_pub && command -v mosquitto_rr' mosquitto-clients
tool openssl 'command -v openssl' openssl
tool iproute2 'command -v ip' iproute2
tool tshark 'command -v tshark' tshark
unpack_broker || lacking mosquitto "Debian's package could not be downloaded"

if [ ! -x "$peers/python/bin/python3" ] || [ ! -e "$peers/python/paho-$paho" ]; then
    # Debian's own interpreter first: another one in PATH may belong to a wrapper.
    python=/usr/bin/python3
    [ -x $python ] || python=$(command -v python3 || echo python3)
    tool python3-venv "$python -c 'import ensurepip, venv'" python3 python3-venv
    say "bringing paho-mqtt $paho into target/peers/python"
    rm -rf "$peers/python"
    if $python -m venv "$peers/python" &&
        "$peers/python/bin/pip" install -q --disable-pip-version-check "paho-mqtt==$paho"; then
        touch "$peers/python/paho-$paho"
    else
        rm -rf "$peers/python"
        lacking paho-mqtt "no python3 with venv, or no way to the package index"
    fi
fi

printf '%s\n' ${missing[@]+"${missing[@]}"} >"$peers/missing"
if [ ${#missing[@]} = 0 ]; then say "everything the tests need is at hand"; fi
