#!/bin/bash
# Makes Debian packages with nothing but dpkg-deb: `make deb ARCH=amd64`.
#
#     bash cross/packaging/deb.sh amd64|arm64|armhf|armel
#
# midge_VERSION_ARCH.deb is the broker with its clients and its service;
# midge-mosquitto-names_VERSION_all.deb the names mosquitto_pub, mosquitto_sub and mosquitto_rr for
# it, in place of Debian's mosquitto-clients. Without it, both can be installed side by side.
#
# The program is target/cross/dist/midge-TARGET, from `make cross`; for amd64 it is
# target/release/midge where that is newer. BINARY= names another one.
#
# The same input gives the same bytes: times are SOURCE_DATE_EPOCH, or else that of the changelog.
# DEBFULLNAME and DEBEMAIL say who answers for the packages; REVISION=2 makes the next one of the
# same version.
set -eu
cd "$(dirname "$0")/../.."

arch=${1:-amd64}
from=cross/packaging
out=${OUT:-target/deb}

die() {
    echo "deb: $*" >&2
    exit 1
}

case $arch in
    amd64) target=x86_64 ;;
    arm64) target=aarch64 ;;
    armhf) target=armv7 ;;
    armel) target=armv5te ;;
    *) die "no such architecture: '$arch'. There are amd64, arm64, armhf and armel" ;;
esac
binary=${BINARY:-target/cross/dist/midge-$target}
if [ -z "${BINARY:-}" ] && [ "$arch" = amd64 ] && [ target/release/midge -nt "$binary" ]; then
    binary=target/release/midge
fi
maker=$([ "$arch" = amd64 ] && echo build || echo cross)
[ -e "$binary" ] || die "there is no $binary: run make $maker first"
command -v dpkg-deb >/dev/null || die "dpkg-deb is not here: packages are made on Debian"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)-${REVISION:-1}
maintainer="${DEBFULLNAME:-Midge authors} <${DEBEMAIL:-midge@packages.invalid}>"
date=$(sed -n 's/^ -- MAINTAINER  //p' $from/debian/changelog | head -n 1)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$date" +%s)}
umask 022

# What the program needs of the system: nothing where it is static.
depends() {
    if ! readelf -lW "$binary" | grep -q INTERP; then return; fi
    local newest
    newest=$(readelf -VW "$binary" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV |
        tail -n 1)
    printf 'libc6 (>= %s), ' "$newest"
    if readelf -dW "$binary" | grep -q libgcc_s; then printf 'libgcc-s1, '; fi
}

# Changelog, copyright and overrides of the package in $root.
documents() {
    local doc=$root/usr/share/doc/$1
    mkdir -p "$doc" "$root/usr/share/lintian/overrides"
    sed -e "s|MAINTAINER|$maintainer|" -e "1s|^[^(]*([^)]*)|$1 ($version)|" $from/debian/changelog |
        gzip -9n >"$doc/changelog.Debian.gz"
    cp $from/debian/copyright "$doc/copyright"
    cp "$2" "$root/usr/share/lintian/overrides/$1"
}

# Ends with what all control files have.
control() {
    printf 'Maintainer: %s\n' "$maintainer"
    printf 'Installed-Size: %s\n' "$(du -k -s --apparent-size "$root" | cut -f 1)"
    printf 'Section: net\nPriority: optional\n'
}

build() {
    (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | LC_ALL=C sort |
        xargs -d '\n' md5sum) >"$root/DEBIAN/md5sums"
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    mkdir -p "$out"
    dpkg-deb --root-owner-group -Zxz --build "$root" "$out/$1" >/dev/null
    echo "$out/$1: $(wc -c <"$out/$1") bytes"
}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

root=$stage/midge
DESTDIR=$root PREFIX=/usr UNITDIR=/lib/systemd/system DOC=/usr/share/doc/midge/README.md.gz \
    BINARY=$binary sh $from/install.sh
install -D -m 644 $from/debian/midge.logrotate "$root/etc/logrotate.d/midge"
documents midge $from/debian/overrides
install -D -m 644 $from/systemd/midge.socket "$root/usr/share/doc/midge/examples/midge.socket"
mkdir -p "$root/usr/share/man/man1" "$root/DEBIAN"
gzip -9n <$from/debian/midge.1 >"$root/usr/share/man/man1/midge.1.gz"
cp $from/debian/postinst $from/debian/prerm $from/debian/postrm "$root/DEBIAN/"
(cd "$root" && find etc -type f | LC_ALL=C sort | sed 's|^|/|') >"$root/DEBIAN/conffiles"
{
    printf 'Package: midge\nVersion: %s\nArchitecture: %s\n' "$version" "$arch"
    printf 'Pre-Depends: init-system-helpers (>= 1.54~)\n'
    printf 'Depends: %sadduser\nSuggests: midge-mosquitto-names\n' "$(depends)"
    control
    cat <<'END'
Description: MQTT broker for small gateways, with its clients
 Midge carries the messages of sensors and programs (MQTT 3.1, 3.1.1 and
 5.0). It takes Mosquitto's place: it reads the same configuration,
 password and ACL files, and has the same clients with the same options.
 .
 What it has acknowledged survives a power cut, and its memory is bounded
 whatever clients do.
END
} >"$root/DEBIAN/control"
build "midge_${version}_$arch.deb"

root=$stage/names
mkdir -p "$root/usr/bin" "$root/usr/share/man/man1" "$root/DEBIAN"
for name in mosquitto_pub mosquitto_sub mosquitto_rr; do
    ln -s midge "$root/usr/bin/$name"
    ln -s midge.1.gz "$root/usr/share/man/man1/$name.1.gz"
done
documents midge-mosquitto-names $from/debian/overrides.names
{
    printf 'Package: midge-mosquitto-names\nVersion: %s\nArchitecture: all\n' "$version"
    printf 'Depends: midge (>= %s)\n' "$version"
    for word in Provides Conflicts Replaces; do
        echo "$word: mosquitto-clients"
    done
    control
    cat <<'END'
Description: names of Mosquitto's clients for those of Midge
 Scripts that call mosquitto_pub, mosquitto_sub or mosquitto_rr go on to
 work: the names are links to Midge, which has the same clients with the
 same options.
END
} >"$root/DEBIAN/control"
build "midge-mosquitto-names_${version}_all.deb"
