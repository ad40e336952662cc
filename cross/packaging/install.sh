#!/bin/sh
# Puts Midge into a system's folders: what `make install` does.
#
#     DESTDIR=/tmp/image PREFIX=/usr sh cross/packaging/install.sh
#
# DESTDIR   in front of every path, for images and packages (nothing)
# PREFIX    where the program goes: PREFIX/bin (/usr/local)
# SYSCONFDIR  where midge/midge.conf and init.d/midge go (/etc)
# UNITDIR   where the unit of systemd goes (PREFIX/lib/systemd/system)
# DOC       where the README goes (PREFIX/share/doc/midge/README.md)
# BINARY    the program (target/release/midge)
# LINKS=1   also the names mosquitto, mosquitto_pub, _sub, _rr and _passwd, as links
#
# A configuration that is there already stays as it is. No user is made: see the end.
set -eu
cd "$(dirname "$0")/../.."

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
SYSCONFDIR=${SYSCONFDIR:-/etc}
UNITDIR=${UNITDIR:-$PREFIX/lib/systemd/system}
DOC=${DOC:-$PREFIX/share/doc/midge/README.md}
BINARY=${BINARY:-target/release/midge}
from=cross/packaging
# The broker's user has to come to all of it.
umask 022

if [ ! -x "$BINARY" ]; then
    echo "install: there is no $BINARY: run make build first, or name another with BINARY=" >&2
    exit 1
fi

# A file with our paths in place of the usual ones, its mode and its place.
put() {
    mkdir -p "$DESTDIR$(dirname "$3")"
    sed -e "s|/usr/bin/midge|$PREFIX/bin/midge|g" -e "s|/etc/midge|$SYSCONFDIR/midge|g" \
        -e "s|/usr/share/doc/midge/README.md.gz|$DOC|g" "$1" >"$DESTDIR$3.new"
    chmod "$2" "$DESTDIR$3.new"
    mv "$DESTDIR$3.new" "$DESTDIR$3"
}

mkdir -p "$DESTDIR$PREFIX/bin"
cp "$BINARY" "$DESTDIR$PREFIX/bin/midge.new"
chmod 755 "$DESTDIR$PREFIX/bin/midge.new"
mv "$DESTDIR$PREFIX/bin/midge.new" "$DESTDIR$PREFIX/bin/midge"
put $from/sysv/midge 755 "$SYSCONFDIR/init.d/midge"
put $from/systemd/midge.service 644 "$UNITDIR/midge.service"
if [ -e "$DESTDIR$SYSCONFDIR/midge/midge.conf" ]; then
    echo "install: $DESTDIR$SYSCONFDIR/midge/midge.conf stays as it is"
else
    put $from/midge.conf 644 "$SYSCONFDIR/midge/midge.conf"
fi
put $from/conf.d-README 644 "$SYSCONFDIR/midge/conf.d/README"
mkdir -p "$DESTDIR$(dirname "$DOC")"
case $DOC in
    *.gz) gzip -9n <README.md >"$DESTDIR$DOC" ;;
    *) cp README.md "$DESTDIR$DOC" ;;
esac
if [ "${LINKS:-}" = 1 ]; then
    for name in mosquitto mosquitto_pub mosquitto_sub mosquitto_rr mosquitto_passwd; do
        ln -sf midge "$DESTDIR$PREFIX/bin/$name"
    done
fi

[ -n "$DESTDIR" ] && exit 0
if ! grep -q '^midge:' /etc/passwd; then
    echo "install: the service wants a user and two folders of its own, as root:"
    echo "    adduser --system --group --no-create-home --home /var/lib/midge midge"
    echo "    install -d -o midge -g midge -m 750 /var/lib/midge /var/log/midge"
fi
