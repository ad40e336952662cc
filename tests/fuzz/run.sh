#!/bin/bash
# Runs the fuzz targets one after the other, so many seconds each: `make fuzz`.
#
# Needs no nightly compiler and no cargo-fuzz: the flags below are what both would set, without a
# sanitizer (there is no unsafe code to watch). The engine is libFuzzer, which the crate
# libfuzzer-sys brings as source; it takes a C++ compiler.
#
# What is found grows in target/fuzz/corpus; inputs that fail are put into target/fuzz/failed.
set -eu
cd "$(dirname "$0")/../.."

seconds=$1
cargo=${CARGO:-cargo}
targets=${2:-$(cd tests/fuzz/fuzz_targets && ls | sed 's/\.rs$//')}

if ! command -v "${CXX:-c++}" >/dev/null; then
    echo "fuzz: there is no C++ compiler: install g++ (Debian: apt-get install g++)" >&2
    exit 1
fi

host=$(rustc -vV | sed -n 's/^host: //p')
cover=-sanitizer-coverage
flags="--cfg fuzzing -Cpasses=sancov-module"
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=$cover-$flag"
done
# Only with --target are the flags for the program and not for what builds it.
bins=$(for target in $targets; do echo "--bin $target"; done)
RUSTFLAGS=$flags $cargo build --release --locked --manifest-path tests/fuzz/Cargo.toml \
    --target-dir target/fuzz --target "$host" $bins

status=0
mkdir -p target/fuzz/failed
printf '%-14s %12s %10s %10s  %s\n' target executions per-second coverage outcome
for target in $targets; do
    bin=target/fuzz/$host/release/$target
    corpus=target/fuzz/corpus/$target
    seeds=target/fuzz/seeds/$target
    log=target/fuzz/$target.log
    mkdir -p "$corpus" "$seeds"
    FUZZ_SEEDS=$seeds "$bin" >"$log" 2>&1
    outcome=good
    "$bin" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 -max_len=6000 \
        -print_final_stats=1 -artifact_prefix="target/fuzz/failed/$target-" \
        "$corpus" "$seeds" 2>"$log" >/dev/null || { outcome="FAILED: see $log"; status=1; }
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
    coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)
    printf '%-14s %12s %10s %10s  %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$coverage" "$outcome"
    if [ "$outcome" != good ]; then grep -A 3 'panicked at\|ERROR: libFuzzer' "$log" | head; fi
done
exit $status
