#!/bin/bash
# How large midge is, what it consists of, and whether it still fits: fails when the stripped
# aarch64 binary passes its limit. Other targets are listed as far as they were built.
set -euo pipefail
cd "$(dirname "$0")/.."
. cross/common.sh

TLS_MAX=2000000
NO_TLS_MAX=900000

cross/build.sh --symbols aarch64
cross/build.sh --symbols --no-tls aarch64
load aarch64

size() { stat -c %s "$DIST/$1" 2>/dev/null || echo -; }

printf '\n%-10s %12s %12s\n' target 'with TLS' 'without'
for target in $TARGETS mipsel; do
    printf '%-10s %12s %12s\n' "$target" "$(size "midge-$target")" "$(size "midge-$target-no-tls")"
done
printf '%-10s %12s %12s  for aarch64\n' 'less than' $TLS_MAX $NO_TLS_MAX

# Sizes of symbols, summed by what their names begin with: our rooms with one name more, other
# crates by theirs. Code that was inlined counts for where it went.
largest() {
    "$SDK/bin/$gnu-nm" -S -C -t d "$1" | awk '
        NF >= 4 && $3 !~ /[bB]/ {
            size = $2
            sub(/^[^ ]+ [^ ]+ [^ ]+ /, "")
            name = $0
            gsub(/^[<&*(\[]+|^(dyn |mut |const )/, "", name)
            gsub(/^[<&*(\[]+|^(dyn |mut |const )/, "", name)
            if (name !~ /::/) name = "C, assembly, tables"
            else {
                split(name, part, /[^A-Za-z0-9_]+/)
                name = part[1]
                if (name == "midge") name = "midge::" part[2] "::" part[3]
                else if (length(name) < 2) name = "generics of no one crate"
            }
            sum[name] += size
        }
        END { for (name in sum) printf "%10d  %s\n", sum[name], name }' | sort -rn | sed -n 1,25p
}

for build in '' -no-tls; do
    printf '\nThe largest parts of midge-aarch64%s, in bytes:\n' "$build"
    largest "$DIST/midge-aarch64$build.symbols"
done

printf '\n'
[ "$(size midge-aarch64)" -lt $TLS_MAX ] || fail "midge-aarch64 is not below $TLS_MAX bytes"
[ "$(size midge-aarch64-no-tls)" -lt $NO_TLS_MAX ] ||
    fail "midge-aarch64-no-tls is not below $NO_TLS_MAX bytes"
say 'sizes are within their limits'
