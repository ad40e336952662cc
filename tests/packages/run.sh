#!/bin/bash
# Tests the service and the packages: `make test-packages`, as root on Debian.
#
# Shell scripts by shellcheck and the shells that are to run them; the unit by systemd-analyze;
# the packages by lintian, and by installing, upgrading, removing and purging them in a Debian of
# its own; the init script there, with dash and with BusyBox's shell; the unit at work, in that
# Debian booted by systemd-nspawn. It has processes and a network of its own, so that no port of
# this machine is touched and nothing stays behind.
#
# What is missing is installed with apt-get. Without root everything but the scripts is skipped,
# which is said; a test that fails ends with a line that says which, and exit code 1.
#
# What this cannot show: a procd at work.
set -eu
cd "$(dirname "$0")/../.."

here=tests/packages
work=$PWD/target/packages
base=$work/debian
from=cross/packaging
mkdir -p "$work"

say() { printf 'packages: %s\n' "$*"; }
fail() {
    printf 'packages: FAILED: %s\n' "$*" >&2
    exit 1
}
skip() { printf 'packages: SKIPPED: %s\n' "$*" >&2; }

need() {
    local program=$1 package=$2
    command -v "$program" >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing $package"
    apt-get install -y -qq --no-install-recommends "$package" >"$work/apt.log" 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } \
            >"$work/apt.log" 2>&1 || return 1
}

# Each script, by the shells that may meet it.
scripts() {
    local script
    for script in $from/sysv/midge $from/openwrt/midge.init $from/install.sh \
        $from/debian/postinst $from/debian/prerm $from/debian/postrm; do
        sh -n "$script" || fail "sh -n $script"
        if need busybox busybox-static; then
            busybox sh -n "$script" || fail "busybox sh -n $script"
        else
            skip "busybox sh -n $script: no busybox"
        fi
    done
    if need shellcheck shellcheck; then
        shellcheck -e SC1091 $from/sysv/midge $from/openwrt/midge.init $from/install.sh \
            $from/deb.sh $from/debian/postinst $from/debian/prerm $from/debian/postrm \
            $here/*.sh || fail "shellcheck"
        say "shellcheck finds nothing"
    else
        skip "shellcheck is not here"
    fi
    local conf
    mkdir -p "$work/conf.d"
    for conf in $from/midge.conf $from/openwrt/midge.conf; do
        sed "s|/etc/midge/conf.d|$work/conf.d|" "$conf" >"$work/test.conf"
        target/release/midge -c "$work/test.conf" --test-config 2>"$work/conf.log" ||
            fail "$conf: $(cat "$work/conf.log")"
        # Local only mode says that it is that; nothing else may be odd.
        if grep -i warning "$work/conf.log" | grep -v 'local only\|other machines\|user name'; then
            fail "$conf has warnings"
        fi
    done
}

# What the script of OpenWrt asks procd for, which is not here: its functions are written down.
openwrt() {
    local asked wanted
    sed "s|/etc/midge/midge.conf|$work/test.conf|" $from/openwrt/midge.init >"$work/midge.init"
    wanted="procd_open_instance
procd_set_param command /usr/bin/midge -c $work/test.conf
procd_set_param file $work/test.conf
procd_set_param respawn 3600 5 0
procd_set_param limits nofile=8192 8192
procd_set_param term_timeout 30
procd_set_param stderr 1
procd_close_instance
procd_send_signal midge * HUP"
    # shellcheck disable=SC2016 # the other shell is to expand it
    asked=$(sh -c '
        for name in procd_open_instance procd_set_param procd_close_instance procd_send_signal; do
            eval "$name() { echo $name \"\$@\"; }"
        done
        . "$1"
        start_service && reload_service' - "$work/midge.init")
    [ "$asked" = "$wanted" ] || fail "midge.init asks procd for: $asked"
    say "the script for OpenWrt asks procd for what it should"
}

# make install: into an image, for another prefix, over a configuration that is its owner's already.
installs() {
    local image=$work/image name
    rm -rf "$image"
    (umask 077 && make -s install DESTDIR="$image" PREFIX=/usr/local) || fail "make install"
    [ ! -e "$image/usr/local/bin/mosquitto_pub" ] || fail "make install makes links unasked"
    grep -q '^ExecStart=/usr/local/bin/midge -c' "$image"/usr/local/lib/systemd/system/*.service ||
        fail "make install: the unit names another program"
    grep -q '^DAEMON=/usr/local/bin/midge$' "$image/etc/init.d/midge" ||
        fail "make install: the init script names another program"
    for name in /etc/midge/midge.conf /usr/local/lib/systemd/system/midge.service; do
        grep -q '/usr/local/share/doc/midge/README.md\>' "$image$name" || fail "$name: no README"
    done
    cmp README.md "$image/usr/local/share/doc/midge/README.md" || fail "make install: the README"
    [ "$(stat -c %a "$image/etc/midge")" = 755 ] || fail "make install: only its maker may enter"
    echo '# mine' >>"$image/etc/midge/midge.conf"
    make -s install DESTDIR="$image" PREFIX=/usr/local LINKS=1 >/dev/null || fail "make install"
    tail -n 1 "$image/etc/midge/midge.conf" | grep -q '^# mine$' ||
        fail "make install writes over a configuration"
    for name in mosquitto_pub mosquitto_sub mosquitto_rr mosquitto_passwd mosquitto; do
        [ "$(readlink "$image/usr/local/bin/$name")" = midge ] || fail "make install: no $name"
    done
    "$image/usr/local/bin/mosquitto_pub" --version >/dev/null || fail "mosquitto_pub by its link"
    say "make install does what it should"
}

# Any output of verify is a fault: an unknown key alone does not make it fail.
unit() {
    if ! need systemd-analyze systemd; then
        skip "systemd-analyze is not here"
        return
    fi
    local image=$work/unit said
    rm -rf "$image"
    DESTDIR=$image PREFIX=/usr UNITDIR=/usr/lib/systemd/system sh $from/install.sh
    mkdir -p "$image/etc/systemd/system"
    cp $from/systemd/midge.socket "$image/etc/systemd/system/"
    # Its program, and the targets and units of systemd that it names.
    verify() {
        systemd-analyze verify --man=no "$1" 2>&1
    }
    install -D target/release/midge "$work/bin/midge"
    sed "s|/usr/bin/midge|$work/bin/midge|" $from/systemd/midge.service >"$work/midge.service"
    cp $from/systemd/midge.socket "$work/midge.socket"
    said=$(verify "$work/midge.service") || fail "systemd-analyze verify midge.service: $said"
    [ -z "$said" ] || fail "systemd-analyze verify midge.service: $said"
    said=$(verify "$work/midge.socket") || fail "systemd-analyze verify midge.socket: $said"
    [ -z "$said" ] || fail "systemd-analyze verify midge.socket: $said"
    # The check itself: it must see a mistake.
    sed 's/^Restart=/Restrat=/' "$work/midge.service" >"$work/wrong.service"
    said=$(verify "$work/wrong.service" || true)
    [ -n "$said" ] || fail "systemd-analyze verify does not see an unknown key"
    say "systemd-analyze verify finds nothing; exposure:" \
        "$(systemd-analyze security --offline=true "$work/midge.service" 2>&1 | tail -n 1)"
}

packages() {
    bash $from/deb.sh amd64 || fail "make deb ARCH=amd64"
    local first
    first=$(cat target/deb/*.deb | sha256sum)
    bash $from/deb.sh amd64 >/dev/null
    [ "$first" = "$(cat target/deb/*.deb | sha256sum)" ] || fail "the packages are not reproducible"
    say "the packages are the same bytes when they are made again"
    OUT=$work/next REVISION=2 bash $from/deb.sh amd64 >/dev/null
    local absent
    absent=$(BINARY='' bash $from/deb.sh sparc 2>&1) && fail "an unknown architecture is taken"
    echo "$absent" | grep -q 'no such architecture' || fail "an unknown architecture: $absent"
    if need lintian lintian; then
        lintian --allow-root --fail-on error,warning --tag-display-limit 0 target/deb/*.deb ||
            fail "lintian"
        say "lintian has no errors and no warnings"
    else
        skip "lintian is not here"
    fi
}

# A small Debian, made once.
debian() {
    [ -e "$base/.complete" ] && return
    need debootstrap debootstrap || return 1
    say "making a Debian in ${base#"$PWD/"}"
    rm -rf "$base"
    # Packages are checked against the keys of this machine's Debian where it has them.
    local suite keys packages=systemd-sysv,sysvinit-utils,procps,adduser,logrotate,busybox-static
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    keys=--no-check-gpg
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] &&
        keys=--keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    debootstrap "$keys" --variant=minbase \
        --include=$packages "$suite" "$base" \
        >"$work/debootstrap.log" 2>&1 || return 1
    touch "$base/.complete"
}

# What inside.sh does, in processes, mounts and a network of its own: they end with it.
inside() {
    local root=$work/root
    rm -rf "$root"
    cp -a "$base" "$root"
    mkdir "$root/test"
    cp target/deb/*_{all,amd64}.deb "$root/test/"
    mkdir "$root/test/next"
    cp "$work"/next/*.deb "$root/test/next/"
    cp $here/inside.sh "$root/test/"
    # shellcheck disable=SC2016 # the other shell is to expand it
    unshare --mount --pid --net --fork bash -c '
        ip link set lo up
        mount --bind "$1" "$1"
        mount -t proc proc "$1/proc"
        exec chroot "$1" /bin/bash /test/inside.sh' - "$root" || fail "in the chroot"
    rm -rf "$root"
}

# What systemd.sh does, once for each boot.
boots() {
    local root=$work/booted boot result=0 scope=()
    if ! need systemd-nspawn systemd-container; then
        skip "the unit at work: systemd-nspawn is not here"
        return
    fi
    # Without a systemd outside nobody can make a scope for it.
    [ -d /run/systemd/system ] || scope=(--keep-unit)
    rm -rf "$root"
    cp -a "$base" "$root"
    mkdir "$root/test"
    cp target/deb/midge_*_amd64.deb $here/systemd.sh $from/systemd/midge.socket "$root/test/"
    for boot in first_boot second_boot; do
        printf '%s\n' '[Unit]' 'SuccessAction=poweroff-force' 'FailureAction=poweroff-force' \
            '[Service]' 'Type=oneshot' 'StandardOutput=append:/test/log' \
            "ExecStart=/bin/bash /test/systemd.sh $boot" >"$root/etc/systemd/system/test.service"
        mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
        ln -sf ../test.service "$root/etc/systemd/system/multi-user.target.wants/test.service"
        : >"$root/test/log"
        timeout 600 systemd-nspawn --quiet --register=no "${scope[@]}" --private-network --boot \
            --directory="$root" >"$work/$boot.log" 2>&1 || result=$?
        cat "$root/test/log"
        if [ ! -s "$root/test/log" ] && [ $boot = first_boot ]; then
            skip "the unit at work: systemd does not boot here, see $work/$boot.log ($result)"
            return
        fi
        [ -e "$root/test/$boot.good" ] || fail "$boot, see $work/$boot.log"
    done
    rm -rf "$root"
}

scripts
openwrt
installs
unit
packages
if [ "$(id -u)" != 0 ]; then
    skip "installing the packages, and the init script: that needs root"
elif ! debian; then
    skip "installing the packages, and the init script: no Debian could be made (debootstrap)"
else
    inside
    boots
fi
say "all is well"
