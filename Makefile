# What a developer does with Midge. `make help` lists it.

CARGO ?= cargo
PORT ?= 1883

.PHONY: help run build check test sim bench bench-micro check-perf cross size test-cross clean

help:
	@echo 'make run     build the release and start the broker on localhost, port $(PORT)'
	@echo 'make build   build the release: target/release/midge'
	@echo 'make check   formatting, clippy, the tidy and README tests: quick, before every commit'
	@echo 'make test    everything: brings what the tests need (see tests/setup.sh), then cargo test'
	@echo 'make sim     crashes of a simulated disk, as long as SECONDS= says; SEED= runs one world again'
	@echo 'make bench   Midge beside mosquitto, as a table; SCENARIO=, BROKERS=, RUNS=, FULL=1'
	@echo '             pick what runs, HELP=1 lists what there is'
	@echo 'make bench-micro'
	@echo '             instructions per message, of codec, matching, replay; SCENARIO= picks by words'
	@echo 'make check-perf'
	@echo '             instructions, system calls, allocations and bytes against their limits'
	@echo 'make cross   static binaries for aarch64, armv7, armv5te and x86_64 in target/cross/dist, with'
	@echo '             a tool chain of its own; TARGET= one of them, or mipsel, an extra without promise'
	@echo 'make size    how large they are and what is in them; fails above the limits'
	@echo 'make test-cross'
	@echo '             the tests on them in emulators, and power cuts of a booted machine; TARGET=,'
	@echo '             ROUNDS= of power cuts'
	@echo 'make clean   remove target/'

build:
	$(CARGO) build --release --locked

run: build
	@echo
	@echo 'Midge listens on localhost, port $(PORT). In two other terminals:'
	@echo '    target/release/midge sub -p $(PORT) -t "#" -v'
	@echo '    target/release/midge pub -p $(PORT) -t hello -m world'
	@echo 'Ctrl-C stops it.'
	@echo
	@target/release/midge -p $(PORT)

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --quiet --test tidy --test readme

test:
	@bash tests/setup.sh
	$(CARGO) test --locked

# Each run begins where chance wants it; a failure names its seed.
sim: SECONDS ?= 600
sim:
	SIM_SECONDS='$(SECONDS)' SIM_SEED='$(SEED)' SIM_FIRST="$${RANDOM_FIRST:-$$(date +%s)}" \
		$(CARGO) test --locked --release --test sim -- --nocapture what_was_acknowledged

# The bench is a crate of its own, with the brokers' files below target/bench/data.
bench: build
	@[ -x target/peers/mosquitto/usr/sbin/mosquitto ] || bash tests/setup.sh
	$(CARGO) run --release --locked --quiet --manifest-path tests/bench/Cargo.toml \
		--target-dir target/bench -- --scenario '$(SCENARIO)' --brokers '$(BROKERS)' \
		--runs '$(RUNS)' $(if $(FULL),--full) $(if $(HELP),--help)

# Counts that do not move with the machine, of a build with symbols: valgrind names functions then.
MICRO = CARGO_PROFILE_RELEASE_STRIP=false CARGO_PROFILE_RELEASE_DEBUG=1 \
	$(CARGO) build --release --locked --target-dir target/micro && \
	$(CARGO) run --release --locked --quiet --manifest-path tests/bench/Cargo.toml \
	--target-dir target/bench --features parts -- --midge target/micro/release/midge \
	--scenario '$(SCENARIO)' --brokers '$(BROKERS)'

bench-micro:
	@bash tests/bench/setup.sh
	$(MICRO) --micro

check-perf:
	@bash tests/bench/setup.sh
	$(MICRO) --limits tests/bench/limits.tsv

cross:
	@cross/build.sh $(TARGET)

size:
	@cross/size.sh

test-cross:
	@ROUNDS='$(ROUNDS)' cross/test.sh $(TARGET)

clean:
	$(CARGO) clean
