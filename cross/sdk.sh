#!/bin/bash
# Makes the tool chain that `make cross` builds with, in a folder of its own: target/cross/sdk, or
# CROSS_SDK=. Nothing is installed, no root is needed, this machine's compilers stay as they are.
#
#   cross/sdk.sh aarch64 armv7 ...   for these targets
#   cross/sdk.sh boot                what the machines of `make test-cross` boot
#
# 1. apt-get, with lists and settings of its own, fetches Debian 12's packages in the versions of
#    cross/versions.sh: Rust, its std's sources, GCC and binutils for the target, musl.
# 2. They are unpacked; small scripts in bin/ run them with the libraries unpacked beside them.
# 3. std is built from source, once for each target, for size (its sorting alone takes 60 KB less):
#    without backtraces, which nobody can read in a stripped binary, without the tables to unwind,
#    since a panic ends the program, and without {:?}. A panic inside of std says what, not where;
#    one that our code is to blame for, such as an index, says where in our code.
# 4. The start files and libraries that a static binary is linked with are laid beside that std.
#
# Each step leaves a stamp, named after the versions it was made of, and is skipped when that is
# there: run it again after an interruption. Needs: Debian (x86-64), cargo 1.85 or later, a C
# compiler for this machine (as any cargo build does), 2 GB of disk.
set -euo pipefail
cd "$(dirname "$0")/.."
. cross/common.sh
. cross/versions.sh

short=${RUST%%+*}
short=${short%.*}
export LC_ALL=C

check_machine() {
    [ "$(uname -m)" = x86_64 ] || fail "the SDK's compilers are for x86-64; this is $(uname -m)"
    for tool in apt-get apt-cache dpkg-deb tar "${CARGO:-cargo}" cc; do
        command -v "$tool" >/dev/null ||
            fail "no $tool here: this needs Debian with cargo and gcc." \
                "With rustup and another system, see cross/README.md."
    done
    [ -n "$ARCHIVE" ] && [ -n "$SECURITY" ] ||
        fail "apt here knows no mirror of Debian and its security suite:" \
            "CROSS_MIRROR=URL names one that has debian and debian-security below it"
    keyring=
    for file in gpg pgp; do
        file=/usr/share/keyrings/debian-archive-keyring.$file
        [ ! -e "$file" ] || keyring=$file
    done
    [ -n "$keyring" ] || fail "no key of Debian's archive: apt-get install debian-archive-keyring"
}

# apt-get with settings of its own: other architectures and suites than this machine's.
lists() {
    mkdir -p "$SDK"/{apt/lists/partial,apt/cache/archives/partial,apt/etc,bin,debs,done,musl,tree}
    touch "$SDK/apt/status"
    printf 'deb [signed-by=%s%s] %s\n' \
        "$keyring" '' "$ARCHIVE $SUITE main" \
        "$keyring" ' arch=amd64' "$SECURITY $SUITE-security main" \
        >"$SDK/apt/etc/sources.list"
    mkdir -p "$SDK/apt/etc/empty"
    cat >"$SDK/apt/apt.conf" <<EOF
Dir::State "$SDK/apt";
Dir::State::status "$SDK/apt/status";
Dir::Cache "$SDK/apt/cache";
Dir::Etc::sourcelist "$SDK/apt/etc/sources.list";
Dir::Etc::sourceparts "$SDK/apt/etc/empty";
Dir::Etc::preferences "$SDK/apt/etc/none";
Dir::Etc::preferencesparts "$SDK/apt/etc/empty";
Dir::Etc::parts "$SDK/apt/etc/empty";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "arm64"; "armhf"; "armel"; "mipsel"; };
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "3";
EOF
    export APT_CONFIG=$SDK/apt/apt.conf
}

update() {
    [ -z "${updated:-}" ] || return 0
    say "reading Debian's lists ($ARCHIVE, $SUITE)"
    apt-get update -qq -o APT::Update::Error-Mode=any 2>"$SDK/apt/log" ||
        fail "apt-get update failed:" "$(cat "$SDK/apt/log")" \
            "CROSS_MIRROR= names another mirror of Debian (one day its archive of old suites)."
    updated=yes
}

# Stops with what is to be changed when one of these packages cannot be had in its version.
check_versions() {
    local package name version there
    for package in "$@"; do
        name=${package%%=*}
        case $package in *=*) version=${package#*=} ;; *) version= ;; esac
        there=$(apt-cache madison "$name" 2>/dev/null | awk '{print $3}' | sort -u | tr '\n' ' ')
        case " $there" in
            " ")
                fail "Debian $SUITE has no package $name any more." \
                    "Look for its successor and change cross/versions.sh." ;;
            *" $version"*) ;; # any, where none is asked for
            *)
                fail "Debian $SUITE has no $name $version any more, but: $there" \
                    "Put that into cross/versions.sh, in place of $version, and run this again." ;;
        esac
    done
}

# fetch STAMP FOLDER PACKAGE...: downloads and unpacks, unless that was done.
fetch() {
    local stamp folder=$SDK/$2 source=./usr/src/rustc-${RUST%%+*}
    stamp=$SDK/done/$1.$(echo "${@:3}" | cksum | cut -d' ' -f1)
    [ ! -e "$stamp" ] || return 0
    update
    check_versions "${@:3}"
    say "fetching for $1: ${*:3}"
    rm -f "$SDK"/debs/*
    (cd "$SDK/debs" && apt-get download -qq "${@:3}" 2>"$SDK/apt/log") ||
        fail "apt-get download failed:" "$(cat "$SDK/apt/log")"
    mkdir -p "$folder"
    for deb in "$SDK"/debs/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$folder" --no-same-owner \
            --no-wildcards-match-slash --exclude='./usr/share/*' --exclude='lto-dump*' \
            --exclude=lto1 --exclude='lib*san*' --exclude="$source/compiler" \
            --exclude="$source/src" --exclude="$source/debian"
    done
    rm -f "$SDK"/debs/*
    touch "$stamp"
}

# A program of the SDK that finds the libraries unpacked beside it.
wrapper() {
    local name=$1
    shift
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s\nexec %s "$@"\n' \
        "$SDK/tree/usr/lib/x86_64-linux-gnu" "$*" >"$SDK/bin/$name"
    chmod +x "$SDK/bin/$name"
}

# What every target needs. Libraries that the compilers are linked to are named without a version:
# any of that name will do.
host_part() {
    fetch host tree "rustc-web=$RUST" "libstd-rust-web-$short=$RUST" \
        "libstd-rust-web-dev:amd64=$RUST" "rust-web-src=$RUST" "libllvm$RUST_LLVM:amd64" \
        "libbinutils:amd64=$BINUTILS" "libctf0:amd64=$BINUTILS" "libctf-nobfd0:amd64=$BINUTILS" \
        libisl23:amd64 libmpc3:amd64 libmpfr6:amd64 libgmp10:amd64 libjansson4:amd64 \
        libz3-4:amd64 libedit2:amd64 libbsd0:amd64 libmd0:amd64 libtinfo6:amd64 \
        libxml2:amd64 libicu72:amd64 liblzma5:amd64 libffi8:amd64
    wrapper rustc "$SDK/tree/usr/bin/rustc"
    "$SDK/bin/rustc" -V >/dev/null || fail "the SDK's rustc does not run on this machine"
}

compilers() {
    case $1 in
        x86_64) fetch "$1" tree "gcc-12:amd64=$GCC" "cpp-12:amd64=$GCC" \
            "binutils-x86-64-linux-gnu=$BINUTILS" "libgcc-12-dev:amd64=$GCC" ;;
        mipsel) fetch "$1" tree "gcc-12-$gnu=$GCC_MIPS" "cpp-12-$gnu=$GCC_MIPS" \
            "binutils-$gnu=$BINUTILS_MIPS" "libgcc-12-dev-$debian-cross=$GCC_MIPS" ;;
        *) fetch "$1" tree "gcc-12-$gnu=$GCC_CROSS" "cpp-12-$gnu=$GCC_CROSS" \
            "binutils-$gnu=$BINUTILS" "libgcc-12-dev-$debian-cross=$GCC_CROSS" ;;
    esac
    fetch "musl-$debian" "musl/$debian" "musl-dev:$debian=$MUSL"
    # Compiles against musl's headers, whatever this machine has in /usr/include.
    wrapper "$gnu-cc" "$root/bin/$gnu-gcc-12" -nostdinc \
        -isystem "$SDK/musl/$debian/usr/include/$musl" -isystem "$gcc_folder/include"
    for tool in ar nm readelf strip; do wrapper "$gnu-$tool" "$root/bin/$gnu-$tool"; done
}

# std from source. The one place where a stable compiler is told to accept unstable flags.
std() {
    local stamp=$SDK/done/std-$1.$RUST.smaller at=$SDK/std-$1
    [ ! -e "$stamp" ] || return 0
    say "building std for $triple: a few minutes"
    mkdir -p "$at/src" "$sysroot"
    echo '#![no_std]' >"$at/src/lib.rs"
    cat >"$at/Cargo.toml" <<EOF
[package]
name = "only-std"
version = "0.0.0"
edition = "2021"
[profile.release]
panic = "abort"
opt-level = "z"
codegen-units = 1
[workspace]
EOF
    rm -rf "$at/target"
    RUSTC_BOOTSTRAP=1 RUSTC=$SDK/bin/rustc \
        RUSTFLAGS="-Cembed-bitcode=yes -Cforce-unwind-tables=no $rustflags \
            -Zfmt-debug=none -Zlocation-detail=none" \
        "${CARGO:-cargo}" build --release --quiet --target "$triple" \
        --manifest-path "$at/Cargo.toml" --target-dir "$at/target" \
        -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size >"$at/log" 2>&1 ||
        fail "std could not be built for $triple:" "$(tail -n 20 "$at/log")"
    rm -f "$sysroot"/*.rlib
    cp "$at/target/$triple/release/deps"/*.rlib "$sysroot"
    rm -rf "$sysroot"/libonly_std-*.rlib "$at"
    touch "$stamp"
}

# Where rustc looks for what a static musl binary begins and ends with.
start_files() {
    local into=$sysroot/self-contained from=$SDK/musl/$debian/usr/lib/$musl
    local stamp=$SDK/done/start-$1.$MUSL.$GCC.4
    [ ! -e "$stamp" ] || return 0
    rm -rf "$into"
    mkdir -p "$into"
    cp "$from"/{crt1,Scrt1,rcrt1,crti,crtn}.o "$from/libc.a" "$into"
    cp "$gcc_folder"/crtbegin{,S,T}.o "$gcc_folder"/crtend{,S}.o "$into"
    # std wants an unwinder, under this name. Nothing unwinds here: each of its functions says no.
    printf 'long _Unwind_%s(void) { return 0; }\n' Backtrace DeleteException \
        FindEnclosingFunction GetCFA GetDataRelBase GetIP GetIPInfo GetLanguageSpecificData \
        GetRegionStart GetTextRelBase RaiseException SetGR SetIP VRS_Get VRS_Set VRS_Pop |
        "$SDK/bin/$gnu-cc" -Os -ffunction-sections -fno-asynchronous-unwind-tables \
            -x c -c - -o "$into/none.o"
    # musl names a thread by way of printf, which nobody else needs (13 KB). std names the threads
    # that it starts, and each does that itself: that is a system call.
    echo '#include <errno.h>
        #include <pthread.h>
        #include <sys/prctl.h>
        int pthread_setname_np(pthread_t thread, const char *name)
        {
            if (thread != pthread_self()) return ENOSYS;
            return prctl(PR_SET_NAME, name, 0, 0, 0) ? errno : 0;
        }' | "$SDK/bin/$gnu-cc" -D_GNU_SOURCE -Os -fno-asynchronous-unwind-tables \
            -x c -c - -o "$into/name.o"
    "$SDK/bin/$gnu-ar" rc "$into/libunwind.a" "$into"/{none,name}.o
    rm "$into"/{none,name}.o
    touch "$stamp"
}

boot_part() {
    fetch boot-arm64 boot/arm64 "linux-image-$KERNEL-arm64:arm64=$KERNEL_VERSION" \
        "busybox-static:arm64=$BUSYBOX"
    fetch boot-armhf boot/armhf "linux-image-$KERNEL-armmp:armhf=$KERNEL_VERSION" \
        "busybox-static:armhf=$BUSYBOX"
}

[ $# -gt 0 ] || fail "usage: cross/sdk.sh TARGET...; there are: $TARGETS mipsel, and boot"
check_machine
lists
for name in "$@"; do
    if [ "$name" = boot ]; then
        boot_part
        continue
    fi
    load "$name"
    host_part
    compilers "$name"
    std "$name"
    start_files "$name"
done
