#!/bin/bash
# The part of run.sh that happens in a booted Debian of its own, as a service of its systemd: the
# package comes, and the unit starts, reloads, fails, hangs and is stopped; with the second boot the
# broker is there by itself, and what it kept; then the package goes.
set -eu

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
own=/etc/midge/conf.d/own.conf
drop_in=/etc/systemd/system/midge.service.d/test.conf

say() { printf 'systemd: %s\n' "$*"; }
fail() {
    printf 'systemd: FAILED: %s\n' "$*"
    systemctl status --no-pager midge.service || true
    tail -n 5 /var/log/midge/midge.log || true
    exit 1
}

until_true() {
    local tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "waited in vain: $*"
        sleep 0.1
    done
}

property() { systemctl show --property="$1" --value midge.service; }
is() { [ "$(property "$1")" = "$2" ]; }
restarted() { [ "$(property NRestarts)" -gt "$1" ] && is SubState running; }

keeps() {
    midge pub -t kept -m "$1" -q 1 -r || fail "it does not answer"
}
has_kept() {
    [ "$(midge sub -t kept -C 1 -W 10)" = "$1" ] || fail "what was acknowledged is gone: $1"
}

first_boot() {
    local pid client count
    # What a small system lacks is no reason for a client not to find this machine's broker.
    rm -f /etc/hosts
    dpkg -i /test/midge_*.deb >/tmp/dpkg.log 2>&1 || fail "dpkg -i: $(cat /tmp/dpkg.log)"
    # Type=notify: it is active from when its ports are open, so that no client is turned away.
    is ActiveState active || fail "it is not started by its package"
    keeps one
    pid=$(property MainPID)
    [ "$(stat -c %U "/proc/$pid")" = midge ] || fail "it does not run as midge"
    grep -q '^Seccomp:[[:space:]]*2' "/proc/$pid/status" || fail "no filter of system calls"
    grep -q '^NoNewPrivs:[[:space:]]*1' "/proc/$pid/status" || fail "it may get new privileges"
    say "the package starts it, as midge"

    # The reload is over when systemctl is: what it brings is there, and who is connected stays.
    : >/tmp/stays
    midge sub -d -t stays -C 1 -W 60 >>/tmp/stays &
    client=$!
    until_true grep -q 'received SUBACK' /tmp/stays
    printf 'max_topic_levels 3\n' >$own
    systemctl reload midge || fail "systemctl reload"
    until_true grep -q 'Reloading config' /var/log/midge/midge.log
    until_true refuses_depth
    midge pub -t stays -m still -q 1
    wait $client || fail "a client did not survive the reload"
    [ "$(property MainPID)" = "$pid" ] || fail "a reload starts another process"
    rm $own
    say "a reload takes over what is new, and clients stay"

    count=$(property NRestarts)
    kill -KILL "$pid"
    until_true restarted "$count"
    has_kept one
    say "killed, it is started again, with what it acknowledged"

    # A loop that hangs is seen by the watchdog: 2 seconds here in place of 30.
    mkdir -p "${drop_in%/*}"
    printf '[Service]\nWatchdogSec=2\n' >$drop_in
    systemctl daemon-reload
    systemctl restart midge
    pid=$(property MainPID)
    count=$(property NRestarts)
    # It would be killed here if the loop did not tell that it is alive.
    sleep 5
    is NRestarts "$count" || fail "the watchdog ends a broker that is well"
    kill -STOP "$pid"
    until_true restarted "$count"
    has_kept one
    say "hung, it is ended by the watchdog and started again"

    # The last of the bad configurations is mended: it starts by itself then.
    echo 'no_such_directive 1' >$own
    systemctl restart midge 2>/dev/null && fail "a start with a wrong configuration works"
    until_true has_tried 3
    journalctl --no-pager --unit midge.service | grep -q 'own.conf:1' ||
        fail "the system's journal does not say why"
    rm $own
    until_true is SubState running
    has_kept one
    say "with a wrong configuration it is tried again until that is mended"

    # Another folder, as the README says.
    install -d -o midge -g midge /data/mqtt
    sed -i.before 's|^\(persistence_location\) .*|\1 /data/mqtt|' /etc/midge/midge.conf
    printf '[Service]\nReadWritePaths=/data/mqtt\n' >$drop_in
    systemctl daemon-reload
    systemctl restart midge || fail "with another persistence_location"
    keeps elsewhere
    systemctl restart midge
    has_kept elsewhere
    mv /etc/midge/midge.conf.before /etc/midge/midge.conf
    rm $drop_in
    systemctl daemon-reload
    say "another persistence_location is one drop-in"

    sockets
    systemctl restart midge
    keeps two
}

refuses_depth() { midge sub -V 5 -t a/b/c/d -C 1 -W 1 2>&1 | grep -q 'requests were denied'; }
has_tried() { [ "$(property NRestarts)" -ge "$1" ]; }

# The ports are systemd's: who comes while no broker runs waits, and is served.
sockets() {
    install -m 644 /test/midge.socket /etc/systemd/system/midge.socket
    printf 'listener 1884\nallow_anonymous true\n' >$own
    sed -i 's/^ListenStream=.*/ListenStream=1884/' /etc/systemd/system/midge.socket
    systemctl daemon-reload
    systemctl stop midge
    systemctl start midge.socket || fail "midge.socket"
    is ActiveState inactive || fail "midge.socket starts the broker before anybody comes"
    midge pub -p 1884 -t t -m x -q 1 || fail "who comes first is not served"
    is ActiveState active || fail "nobody was started by its socket"
    systemctl stop midge.socket midge.service
    rm $own /etc/systemd/system/midge.socket
    systemctl daemon-reload
    say "sockets of systemd are taken over; the first client starts the broker"
}

second_boot() {
    until_true is SubState running
    has_kept two
    say "it is there after a boot, with what it acknowledged"
    systemctl stop midge || fail "systemctl stop"
    is Result success || fail "a stop is not a success: $(property Result)"
    systemctl start midge
    dpkg -r midge >/tmp/dpkg.log 2>&1 || fail "dpkg -r: $(cat /tmp/dpkg.log)"
    pgrep -x midge >/dev/null && fail "it runs on without its package"
    dpkg -P midge >/tmp/dpkg.log 2>&1 || fail "dpkg -P: $(cat /tmp/dpkg.log)"
    systemctl list-unit-files --no-pager | grep midge && fail "a unit stays behind"
    say "removed and purged, nothing of it is left in systemd"
}

"$1"
touch "/test/$1.good"
