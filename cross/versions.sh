# shellcheck shell=bash disable=SC2034
# The one place that says which Debian packages the cross builds are made of. Sourced by sdk.sh.
#
# Debian's security suite replaces a compiler by the next one and then drops the old package. sdk.sh
# stops in that case and names the line to change here; a changed line makes it build again what
# depends on it. The compiler and the sources of std must be of one version, so they share a line.

SUITE=bookworm # also on a newer Debian: the packages are unpacked, never installed
# Where they come from: where this machine's own packages do, or CROSS_MIRROR=, a URL below which
# debian and debian-security lie.
repository() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        grep -E "/$1/?$" | head -n 1
}
if [ -n "${CROSS_MIRROR:-}" ]; then
    ARCHIVE=$CROSS_MIRROR/debian
    SECURITY=$CROSS_MIRROR/debian-security
else
    ARCHIVE=$(repository debian || true)
    SECURITY=$(repository debian-security || true)
fi

RUST=1.96.0+dfsg1-1~deb12u2 # rustc-web, libstd-rust-web-1.96, libstd-rust-web-dev, rust-web-src
RUST_LLVM=22                # libllvm22, what that rustc is linked to
GCC=12.2.0-14+deb12u1       # x86-64
GCC_CROSS=12.2.0-14cross1   # the ARM targets
GCC_MIPS=12.2.0-14cross5
BINUTILS=2.40-2
BINUTILS_MIPS=2.40-2cross2
MUSL=1.2.3-1

# The machine that `make test-cross` boots.
KERNEL=6.1.0-50 # the name: linux-image-6.1.0-50-arm64 and -armmp
KERNEL_VERSION=6.1.176-1
BUSYBOX=1:1.35.0-4+deb12u1+b1
