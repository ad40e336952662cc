# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share. Sourced, with the repository as the working directory.

SDK=${CROSS_SDK:-$PWD/target/cross/sdk}
DIST=$PWD/target/cross/dist
TARGETS='aarch64 armv7 armv5te x86_64' # what `make cross` builds; mipsel only by name

say() { printf 'cross: %s\n' "$*"; }

fail() {
    printf 'cross: %s\n' "$@" >&2
    exit 1
}

# Reads cross/NAME.target into the variables of that file.
load() {
    [ -e "cross/$1.target" ] || fail "no target $1; there are: $(cd cross && echo *.target)"
    . "cross/$1.target"
    root=$SDK/tree/usr
    sysroot=$root/lib/rustlib/$triple/lib
    env_name=$(echo "$triple" | tr 'a-z-' 'A-Z_')
    if [ "$gnu" = x86_64-linux-gnu ]; then
        gcc_folder=$root/lib/gcc/$gnu/12
    else
        gcc_folder=$root/lib/gcc-cross/$gnu/12
    fi
}

# Runs cargo for the loaded target with the SDK's compilers; what follows are cargo's arguments.
# Nothing unwinds, so nobody needs tables for it; what a panic says names no folder of this machine.
cargo_for() {
    local crates=${CARGO_HOME:-$HOME/.cargo}/registry/src
    env RUSTC="$SDK/bin/rustc" "CARGO_PROFILE_RELEASE_OPT_LEVEL=${CROSS_OPT:-s}" \
        "CARGO_TARGET_${env_name}_LINKER=$SDK/bin/$gnu-cc" \
        "CARGO_TARGET_${env_name}_RUSTFLAGS=-Cforce-unwind-tables=no $rustflags \
            --remap-path-prefix=$crates=crates" \
        "CC_$triple=$SDK/bin/$gnu-cc" "AR_$triple=$SDK/bin/$gnu-ar" \
        "CFLAGS_$triple=-fno-asynchronous-unwind-tables -fno-unwind-tables" \
        "${CARGO:-cargo}" build --release --locked --target "$triple" "$@"
}
