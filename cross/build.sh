#!/bin/bash
# Builds midge for the targets named, or for all that are promised, into target/cross/dist:
#
#   cross/build.sh [--no-tls] [--symbols] [TARGET...]
#
# --no-tls     without TLS, as midge-TARGET-no-tls; as small as can be, at the cost of speed
# --symbols    beside it with its symbols, as midge-TARGET.symbols: for cross/size.sh
#
# The tool chain is made first where it is missing (cross/sdk.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
. cross/common.sh

name=
features=()
folder=$PWD/target/cross/build
symbols=
no_tls=
while [ $# -gt 0 ]; do
    case $1 in
        --no-tls) name=-no-tls features=(--no-default-features) debug=none opt=z no_tls=1 ;;
        --symbols) symbols=.symbols ;;
        -*) fail "no such flag: $1" ;;
        *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || set -- $TARGETS

mkdir -p "$DIST"
for target in "$@"; do
    cross/sdk.sh "$target"
    load "$target"
    [ -z "$no_tls" ] || rustflags="$rustflags $small"
    say "building midge$name for $triple"
    # Symbols are kept by the build and stripped from the copy, so that both come of one build.
    CARGO_PROFILE_RELEASE_STRIP=false cargo_for --bin midge --target-dir "$folder/$target$name" \
        "${features[@]}"
    built=$folder/$target$name/$triple/release/midge
    into=$DIST/midge-$target$name
    [ -z "$symbols" ] || cp "$built" "$into.symbols"
    "$SDK/bin/$gnu-strip" -R .comment -o "$into" "$built"
    if LC_ALL=C "$SDK/bin/$gnu-readelf" -lW "$into" | grep -q INTERP; then
        fail "$into is not static"
    fi
    say "$into: $(stat -c %s "$into") bytes"
done
