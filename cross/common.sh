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
    small= # flags for a build without TLS
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

# For a program that lies at one address: nothing in it is relocated, so nothing is to be protected
# afterwards.
fixed='-Crelocation-model=static -Clink-arg=-Wl,-z,norelro'

# Runs cargo for the loaded target with the SDK's compilers; what follows are cargo's arguments.
#
# Nothing unwinds, so nobody needs tables for it. A panic says its file and line, not the column,
# and no folder of this machine. What a user reads of us is written without {:?}, which debug=none
# leaves out; what rustls says is not. The flags with -Z are unstable ones, and RUSTC_BOOTSTRAP is
# what a stable compiler wants for them; no crate may use unstable features all the same. Crates
# that Cargo.toml does not name are z; opt is ours.
# The linker takes the layout of cross/layout: it need not be tried.
debug=full
opt=s
cargo_for() {
    local crates=${CARGO_HOME:-$HOME/.cargo}/registry/src
    env RUSTC="$SDK/bin/rustc" RUSTC_BOOTSTRAP=1 MIDGE_LAYOUT=1 \
        "CARGO_PROFILE_RELEASE_OPT_LEVEL=${CROSS_OPT:-$opt}" \
        "CARGO_TARGET_${env_name}_LINKER=$SDK/bin/$gnu-cc" \
        "CARGO_TARGET_${env_name}_RUSTFLAGS=-Cforce-unwind-tables=no $rustflags \
            -Zallow-features= -Zfmt-debug=$debug -Zlocation-detail=file,line \
            -Clink-arg=-Wl,--build-id=none -Clink-arg=-Wl,--no-eh-frame-hdr \
            --remap-path-prefix=$crates=crates" \
        "CC_$triple=$SDK/bin/$gnu-cc" "AR_$triple=$SDK/bin/$gnu-ar" \
        "CFLAGS_$triple=-fno-asynchronous-unwind-tables -fno-unwind-tables" \
        "${CARGO:-cargo}" build --release --locked --target "$triple" \
        --config "profile.release.package.'*'.opt-level='z'" "$@"
}
