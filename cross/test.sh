#!/bin/bash
# Tests what `make cross` built, on processors that this machine does not have:
#
#   cross/test.sh [TARGET...]     the promised four unless named
#
# 1. Every target: the clients' and the broker's walk through the user's document, signals, password
#    files and TLS (tests/cli), with each midge run by qemu's user mode emulation.
# 2. aarch64, and armv7 on a Cortex-A7: a whole machine is booted, with midge as its service on an
#    ext4 disk. tests/durability's clients publish QoS 1, QoS 2 and retained messages from here, the
#    machine is cut from its power at random instants, boots again, and all that was acknowledged
#    has to be there. Then the same with a broker that never syncs, which has to FAIL: a test that
#    cannot see a loss would prove nothing. Before that, a broker that just started may take no
#    more memory than MEMORY_MAX.
#
# Installs the emulators with apt-get where it may; what cannot be had is named and SKIPPED.
# ROUNDS= says how many rounds of cuts (2; one boots three to six times), SLOWER= how much time a
# machine gets (6). A round that takes longer than 20 minutes fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. cross/common.sh

[ $# -gt 0 ] || set -- $TARGETS
ROUNDS=${ROUNDS:-2}
SLOWER=${SLOWER:-6}
logs=$PWD/target/cross/test
run=$PWD/target/cross/run
mkdir -p "$logs" "$run"
failed=()
skipped=()

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# True when this program is there, or could be installed from this package.
tool() {
    command -v "$1" >/dev/null || [ -x "/sbin/$1" ] && return
    command -v apt-get >/dev/null || return
    say "installing with apt-get: $2"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$2" >"$logs/apt.log" 2>&1
}

skip() {
    skipped+=("$1")
    say "WARNING: $1 is SKIPPED: $2"
}

# The result of a step, with the end of its log where it failed.
passed() { say "$1: passed ($(grep -h '^test result' "$2" | tail -n 1))"; }
broken() {
    failed+=("$1")
    say "$1: FAILED, see $2"
    tail -n 40 "$2"
}

# What runs a target's binary here: the name it is called by decides what midge does.
emulator() {
    load "$1"
    if [ "$qemu" = none ]; then
        printf '#!/bin/bash\nexec -a "$0" %s "$@"\n' "$DIST/midge-$1" >"$run/$1"
    else
        printf '#!/bin/sh\nexec qemu-%s-static -0 "$0" -cpu %s %s "$@"\n' \
            "${qemu%% *}" "${qemu##* }" "$DIST/midge-$1" >"$run/$1"
    fi
    chmod +x "$run/$1"
}

# tests/cli with this midge. What is left out looks at the process from outside, and would find the
# emulator: its memory, its descriptors, its name. Nor does it start itself again (-d), and musl's
# SIGRTMIN is another number than that of this machine's C library.
user_mode() {
    local log=$logs/user-$1.log
    emulator "$1"
    [ "$qemu" = none ] || tool "qemu-${qemu%% *}-static" qemu-user-static ||
        { skip "$1 in user mode" "no qemu-user-static"; return; }
    say "$1: $("$run/$1" --version 2>&1 | head -n 1), in user mode"
    if MIDGE_BINARY=$run/$1 timeout 1200 "${CARGO:-cargo}" test --locked --quiet --test cli -- \
        walk_ signals:: tls_client:: rumqttc --skip as_a_daemon --skip rtmin >"$log" 2>&1; then
        passed "$1 in user mode" "$log"
    else
        broken "$1 in user mode" "$log"
    fi
}

rounds() {
    MACHINE=$1 DURABILITY_BROKER=$PWD/cross/boot/machine.sh DURABILITY_SLOWER=$SLOWER \
        DURABILITY_ROUNDS=$ROUNDS DURABILITY_CONF=${2:-} \
        timeout $((ROUNDS * 1200)) "${CARGO:-cargo}" test --locked --quiet --test durability -- \
        --nocapture --test-threads=1 killed_at
}

# What a broker that just started takes on a booted machine, in kB of resident memory.
MEMORY_MAX=2500

memory() {
    local log=$logs/memory-$1.log folder=$run/memory-$1 booted resident=
    rm -rf "$folder"
    mkdir -p "$folder"
    printf '%s\n' "listener $((20000 + RANDOM % 10000))" 'allow_anonymous true' 'persistence true' \
        "persistence_location $folder" >"$folder/conf"
    MACHINE=$1 timeout 300 cross/boot/machine.sh -c "$folder/conf" >"$log" 2>&1 &
    booted=$!
    while [ -z "$resident" ] && kill -0 $booted 2>/dev/null; do
        sleep 0.2
        resident=$(sed -n 's/^memory of midge: VmRSS:[[:space:]]*\([0-9]*\) kB.*/\1/p' "$log")
    done
    kill $booted 2>/dev/null || true
    wait $booted || true
    if [ "${resident:-$((MEMORY_MAX + 1))}" -le $MEMORY_MAX ]; then
        say "$1, memory of a broker that just started: $resident kB (at most $MEMORY_MAX)"
    else
        broken "$1, memory of a broker that just started: ${resident:-not told}" "$log"
    fi
}

# What the ledger of tests/durability says of a loss that a power cut explains.
LOSS='^(Lost|Session|Subscription|Retained) \('

machine() {
    local log=$logs/boot-$1.log
    cross/sdk.sh boot
    cross/boot/image.sh "$1"
    memory "$1"
    say "$1: power cuts of a booted machine, $ROUNDS rounds"
    if rounds "$1" >"$log" 2>&1; then
        grep '^seed' "$log" || true
        passed "$1, power cuts" "$log"
    else
        broken "$1, power cuts" "$log"
    fi
    log=$logs/boot-$1-never.log
    say "$1: the same with 'persistence_sync never', which has to lose something"
    if rounds "$1" 'persistence_sync never' >"$log" 2>&1; then
        broken "$1, a broker that never syncs lost nothing" "$log"
    elif ! grep -Eq "$LOSS" "$log"; then
        broken "$1, a broker that never syncs failed in another way than by losing" "$log"
    else
        grep -E "$LOSS" "$log" | sort | uniq -c
        say "$1: seen, as it should be"
    fi
}

bash tests/setup.sh
for target in "$@"; do
    [ -e "$DIST/midge-$target" ] || cross/build.sh "$target"
    user_mode "$target"
done
for target in "$@"; do
    case $target in
        aarch64) program=qemu-system-aarch64 ;;
        armv7) program=qemu-system-arm ;;
        *) continue ;;
    esac
    if tool $program qemu-system-arm && tool cpio cpio && tool mkfs.ext4 e2fsprogs; then
        machine "$target"
    else
        skip "$target, power cuts" "no $program, cpio or mkfs.ext4"
    fi
done

[ ${#skipped[@]} = 0 ] || printf 'cross: SKIPPED: %s\n' "${skipped[@]}"
[ ${#failed[@]} = 0 ] || fail "${failed[@]/#/FAILED: }"
say 'all of it passed'
