#!/bin/bash
# Writes order.ld: the functions that a start needs, then those that plain messages need as well,
# as valgrind sees them; first those of `cargo build --release`, then those of the static build for
# x86-64, which are other ones in part, and have names of another kind.
#
# Needs root (so that the broker becomes another user, as on a gateway), valgrind, and what `make
# cross` needs. To be run after changes of what a start does, or when `make check-perf
# SCENARIO=start` finds more memory.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$PWD/target/layout
run=$build/run
port=${PORT:-18830}

# Runs the broker $midge, and this with it; prints the functions that were called.
record() {
	rm -rf "$run"
	mkdir -p "$run/conf.d" "$run/kept"
	cat >"$run/midge.conf" <<-EOF
		user nobody
		pid_file $run/pid/midge.pid
		persistence true
		persistence_location $run/kept/
		log_dest file $run/log/midge.log
		log_dest stderr
		include_dir $run/conf.d
	EOF
	printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$run/conf.d/local.conf"
	# The sandbox lets the broker write into this folder, so callgrind, too.
	local calls=$run/kept/calls
	touch "$calls"
	chown -R nobody: "$run/kept"
	valgrind --tool=callgrind --demangle=no --callgrind-out-file="$calls" \
		"$midge" -c "$run/midge.conf" >"$run/output" 2>&1 &
	local broker=$!
	until grep -qs ' running' "$run/log/midge.log"; do
		kill -0 $broker
		sleep 0.1
	done
	"$@"
	kill $broker
	wait $broker || true
	sed -nE "s/^c?fn=\([0-9]+\) ((_ZN|_R|main)[^']*).*/\1/p" "$calls"
}

plain_messages() {
	for version in mqttv311 mqttv5; do
		for qos in 0 1 2; do
			rm -f "$run/got"
			"$midge" sub -p "$port" -V $version -q $qos -t 'a/#' -t b -C 2 >"$run/got" &
			local subscriber=$!
			until [ -s "$run/got" ]; do
				"$midge" pub -p "$port" -V $version -q $qos -t a/b -m x -r
			done
			"$midge" pub -p "$port" -V $version -q $qos -t b -m x
			wait $subscriber
		done
	done
}

CARGO_PROFILE_RELEASE_STRIP=false cargo build --release --locked --target-dir "$build"
cross/build.sh --symbols x86_64
for midge in "$build/release/midge" target/cross/dist/midge-x86_64.symbols; do
	record true
	record plain_messages
done >"$build/called"
{
	echo '/* Written by record.sh: what build.rs has the linker put in one place. */'
	echo 'SECTIONS'
	echo '{'
	echo '  .text.first : {'
	# Names without what the compiler puts into them, the hashes of functions and of crates, and not
	# longer than it takes to know them. A function that is seldom needed lies in .text.unlikely.
	# Valgrind knows no Landlock, so the sandbox was not closed: what that needs is named here.
	{
		printf '%s\n' '_*landlock*' '_*5midge4host7sandbox*' '_R*10Components*' \
			'_R*12canonicalize*'
		cat "$build/called"
	} | sed -E 's/17h[0-9a-f]{16}E$/17h*/; s/Cs[0-9A-Za-z]+_/Cs*_/g; s/^(.{100}).*/\1*/' |
		awk '!is_there[$0]++ { print "    *(.text*." $0 ")" }'
	echo '  }'
	echo '}'
	echo 'INSERT BEFORE .text;'
} >cross/layout/order.ld
wc -l cross/layout/order.ld
