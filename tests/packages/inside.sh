#!/bin/bash
# The part of run.sh that happens in a Debian of its own: packages come and go, and the init script
# does what an init script is to do. Nothing of the machine outside is seen or touched.
set -eu

script=/etc/init.d/midge
pid_file=/run/midge/midge.pid
log=/var/log/midge/midge.log
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

say() { printf 'inside: %s\n' "$*"; }
fail() {
    printf 'inside: FAILED: %s\n' "$*" >&2
    tail -n 5 "$log" >&2 2>/dev/null || true
    exit 1
}

# The exit code of a command.
code() {
    local code=0
    "$@" >/tmp/out 2>&1 || code=$?
    echo "$code"
}

# A command that has to end with this code.
expect() {
    local wanted=$1 is
    shift
    is=$(code "$@")
    [ "$is" = "$wanted" ] || fail "$* ended with $is, not $wanted: $(cat /tmp/out)"
}

# Waits until a command works.
until_true() {
    local tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "waited in vain: $*"
        sleep 0.1
    done
}

logs() { grep -q "$1" "$log"; }
has_count() { [ "$(grep -c "$1" "$log")" = "$2" ]; }

answers() {
    expect 0 midge pub -t t -m x -q 1
}

# Everything that an init script is asked for; the words are the shell's that runs it.
init_script() {
    local shell=$* pid other
    expect 3 "$@" $script status
    expect 0 "$@" $script stop
    expect 7 "$@" $script reload
    expect 2 "$@" $script dance
    expect 0 "$@" $script start
    answers
    pid=$(cat $pid_file)
    [ "$(stat -c %U "/proc/$pid")" = midge ] || fail "$shell: it does not run as midge"
    expect 0 "$@" $script status
    expect 0 "$@" $script start
    [ "$(cat $pid_file)" = "$pid" ] || fail "$shell: a second start made another broker"
    has_count ' running$' "$started" || fail "$shell: the log tells of another start"
    local reloads
    reloads=$(grep -c 'Reloading config' $log || true)
    expect 0 "$@" $script reload
    until_true has_count 'Reloading config' $((reloads + 1))
    expect 0 "$@" $script restart
    started=$((started + 1))
    [ "$(cat $pid_file)" != "$pid" ] || fail "$shell: restart left the old broker"
    answers
    expect 0 "$@" $script try-restart
    started=$((started + 1))
    # Somebody without rights may ask, and no more.
    expect 0 setpriv --reuid=65534 --regid=65534 --clear-groups "$@" $script status
    expect 4 setpriv --reuid=65534 --regid=65534 --clear-groups "$@" $script stop
    chmod 600 $pid_file
    expect 4 setpriv --reuid=65534 --regid=65534 --clear-groups "$@" $script status
    # Nobody can be told how it went, and it is done all the same.
    "$@" $script restart >&- 2>/dev/null || fail "$shell: restart fails without an output"
    started=$((started + 1))
    expect 0 "$@" $script status
    # A broker that was killed leaves its pid file; so does one whose number is somebody else's now.
    kill -KILL "$(cat $pid_file)"
    until_true dead
    expect 1 "$@" $script status
    sleep 1000 &
    other=$!
    echo "$other" >$pid_file
    expect 1 "$@" $script status
    expect 7 "$@" $script reload
    expect 0 "$@" $script stop
    kill -0 "$other" || fail "$shell: stop ended a stranger"
    echo "$other" >$pid_file
    expect 0 "$@" $script start
    started=$((started + 1))
    answers
    kill "$other"
    # A client of the broker is the same program.
    midge sub -t quiet &
    other=$!
    pid=$(cat $pid_file)
    echo "$other" >$pid_file
    expect 1 "$@" $script status
    expect 0 "$@" $script stop
    kill -0 "$other" || fail "$shell: stop ended a client"
    echo "$pid" >$pid_file
    kill "$other"
    expect 0 "$@" $script stop
    expect 3 "$@" $script status
    [ ! -e $pid_file ] || fail "$shell: the pid file stays after stop"
    # A start that fails says so by its code, and why.
    echo 'no_such_directive 1' >/etc/midge/conf.d/wrong.conf
    expect 6 "$@" $script start
    grep -q 'wrong.conf:1' /tmp/out || fail "$shell: no reason for a failed start: $(cat /tmp/out)"
    expect 3 "$@" $script status
    rm /etc/midge/conf.d/wrong.conf
    say "the init script does what it should, run by $shell"
}

dead() { ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$(cat $pid_file)/status" 2>/dev/null; }

# A small Debian has no such file.
[ -e /etc/hosts ] || echo "127.0.0.1 localhost" >/etc/hosts

before=$(find / -xdev \( -path /proc -o -path /test -o -path /tmp -o -path /var/lib/dpkg \
    -o -path /var/log -o -path /var/cache -o -path /etc/passwd- -o -path /etc/group- \
    -o -path /etc/shadow- -o -path /etc/gshadow- \) -prune -o -print | sort)

# policy-rc.d is how a chroot says that nothing may be started by an installation.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
dpkg -i /test/midge_*.deb >/tmp/dpkg.log 2>&1 || fail "dpkg -i: $(cat /tmp/dpkg.log)"
[ "$(stat -c '%U %a' /var/lib/midge)" = 'midge 750' ] || fail "/var/lib/midge is not midge's"
[ "$(stat -c '%U %a' /var/log/midge)" = 'midge 750' ] || fail "/var/log/midge is not midge's"
compgen -G '/etc/rc2.d/S*midge' >/dev/null || fail "it is not started at boot"
[ -e /etc/systemd/system/multi-user.target.wants/midge.service ] || fail "the unit is not enabled"
[ ! -e /usr/bin/mosquitto_pub ] || fail "the names are there without their package"

started=1
# A loaded machine may take its time.
echo 'PATIENCE=300' >/etc/default/midge
init_script dash
started=$((started + 1))
# With BusyBox's shell, and its programs in place of all others.
mkdir /tmp/busybox
busybox --install -s /tmp/busybox
printf 'PATH=/tmp/busybox\nPATIENCE=300\n' >/etc/default/midge
init_script busybox sh
rm /etc/default/midge

# What the broker understands the script has to understand: an included file, blanks behind a value,
# another system's line ends. And a program whose name is longer than the kernel remembers.
sed -i.before '/^pid_file/d' /etc/midge/midge.conf
printf 'pid_file %s \t\r\n' "$pid_file" >/etc/midge/conf.d/pid.conf
# Nor does a file that ends without a line end run into the next.
printf 'max_qos 2' >/etc/midge/conf.d/no-end.conf
cp /usr/bin/midge /tmp/midge-of-a-very-long-name
echo 'DAEMON=/tmp/midge-of-a-very-long-name' >/etc/default/midge
expect 0 $script start
expect 0 $script status
answers
expect 0 $script stop
expect 3 $script status
mv /etc/midge/midge.conf.before /etc/midge/midge.conf
rm /etc/midge/conf.d/pid.conf /etc/midge/conf.d/no-end.conf /etc/default/midge

# Without start-stop-daemon, which some systems do not have.
mv /sbin/start-stop-daemon /tmp/
expect 0 $script start
answers
expect 0 $script stop
mv /tmp/start-stop-daemon /sbin/

# Without the user's folder for the pid file, as after a boot.
rm -rf /run/midge
expect 0 $script start
[ "$(stat -c %U /run/midge)" = midge ] || fail "/run/midge is not midge's"

# What is kept survives an upgrade; what the owner changed, too; the new version runs after it.
rm /usr/sbin/policy-rc.d
midge pub -t kept -m yes -r -q 1
echo 'message_size_limit 4321' >/etc/midge/conf.d/own.conf
old=$(cat $pid_file)
dpkg -i /test/next/midge_*.deb >/tmp/dpkg.log 2>&1 || fail "the upgrade: $(cat /tmp/dpkg.log)"
if [ "$(cat $pid_file)" = "$old" ]; then
    # invoke-rc.d starts nothing where no init runs.
    say "invoke-rc.d declines here; restarted by hand"
    expect 0 $script restart
fi
[ "$(midge sub -t kept -C 1 -W 10)" = yes ] || fail "a retained message is gone after the upgrade"
[ -e /etc/midge/conf.d/own.conf ] || fail "the owner's file is gone after the upgrade"

# logrotate: the broker goes on in a new file.
logrotate --force /etc/logrotate.d/midge >/tmp/out 2>&1 || fail "logrotate: $(cat /tmp/out)"
[ -e $log.1 ] || fail "logrotate did not rotate"
goes_on() {
    answers
    logs 'New client connected'
}
until_true goes_on
# Whoever has the number of a broker that was killed is left alone.
kill -KILL "$(cat $pid_file)"
until_true dead
sleep 1000 &
stranger=$!
echo "$stranger" >$pid_file
logrotate --force /etc/logrotate.d/midge >/tmp/out 2>&1 || fail "logrotate: $(cat /tmp/out)"
kill "$stranger" 2>/dev/null || true
ended=0
wait "$stranger" || ended=$?
[ "$ended" = 143 ] || fail "logrotate signals a stranger, who ended with $ended"
expect 0 $script start

# The names beside it, and Debian's clients not beside them.
dpkg -i /test/next/midge-mosquitto-names_*.deb >/tmp/dpkg.log 2>&1 ||
    fail "the names: $(cat /tmp/dpkg.log)"
expect 0 mosquitto_pub -t t -m x -q 1
dpkg -r midge-mosquitto-names >/dev/null
[ ! -e /usr/bin/mosquitto_pub ] || fail "the names stay after their removal"

# Removed: it has ended, and what is the owner's stays.
dpkg -r midge >/tmp/dpkg.log 2>&1 || fail "dpkg -r: $(cat /tmp/dpkg.log)"
if ! dead 2>/dev/null && [ -e $pid_file ]; then
    say "invoke-rc.d declines here; stopped by hand"
    expect 0 sh -c "kill $(cat $pid_file)"
fi
[ ! -e /usr/bin/midge ] || fail "the program stays after the removal"
[ -e /etc/midge/midge.conf ] || fail "the configuration is gone after the removal"
[ -d /var/lib/midge ] || fail "the data is gone after the removal"

# Purged: nothing is left.
rm /etc/midge/conf.d/own.conf
dpkg -P midge >/tmp/dpkg.log 2>&1 || fail "dpkg -P: $(cat /tmp/dpkg.log)"
after=$(find / -xdev \( -path /proc -o -path /test -o -path /tmp -o -path /var/lib/dpkg \
    -o -path /var/log -o -path /var/cache -o -path /etc/passwd- -o -path /etc/group- \
    -o -path /etc/shadow- -o -path /etc/gshadow- \) -prune -o -print | sort)
left=$(diff <(echo "$before") <(echo "$after") | grep '^[<>]' | grep -v /var/lib/logrotate || true)
[ -z "$left" ] || fail "left after purge: $left"
[ ! -e /var/log/midge ] || fail "the logs are left after purge"
! getent passwd midge >/dev/null || fail "the user is left after purge"
say "installed, upgraded, removed, purged: nothing is left"
