# What a developer does with Midge. `make help` lists it.

CARGO ?= cargo
PORT ?= 1883

.PHONY: help run build install deb check test test-packages sim fuzz bench bench-micro check-perf \
	cross size test-cross clean

help:
	@echo 'make run     build the release and start the broker on localhost, port $(PORT)'
	@echo 'make build   build the release: target/release/midge'
	@echo 'make install the release, its configuration and service files; PREFIX=, DESTDIR=, LINKS=1'
	@echo 'make deb     Debian packages in target/deb/; ARCH=amd64, arm64, armhf or armel'
	@echo 'make check   formatting, clippy, the tidy and README tests: quick, before every commit'
	@echo 'make test    everything: brings what the tests need (see tests/setup.sh), then cargo test'
	@echo 'make test-packages'
	@echo '             init script, unit and packages in a Debian of their own (as root)'
	@echo 'make sim     crashes of a simulated disk, as long as SECONDS= says; SEED= runs one world again'
	@echo 'make fuzz    hostile bytes for every parser, SECONDS= each; TARGET= picks one'
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

# After `make build`, which need not be root's: what there is is installed.
install:
	@DESTDIR='$(DESTDIR)' PREFIX='$(or $(PREFIX),/usr/local)' LINKS='$(LINKS)' BINARY='$(BINARY)' \
		sh cross/packaging/install.sh

deb:
	@bash cross/packaging/deb.sh $(or $(ARCH),amd64)

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --quiet --test tidy --test readme
	@$(CARGO) metadata --locked --quiet --format-version 1 --manifest-path tests/bench/Cargo.toml \
		>/dev/null || { echo 'tests/bench/Cargo.lock does not fit: run make bench HELP=1'; exit 1; }
	@$(CARGO) metadata --locked --quiet --format-version 1 --manifest-path tests/fuzz/Cargo.toml \
		>/dev/null || { echo 'tests/fuzz/Cargo.lock does not fit: cargo update -w there'; exit 1; }

test:
	@bash tests/setup.sh
	$(CARGO) test --locked

test-packages: build
	@bash tests/packages/run.sh

# Each run begins where chance wants it; a failure names its seed.
sim: SECONDS ?= 600
sim:
	SIM_SECONDS='$(SECONDS)' SIM_SEED='$(SEED)' SIM_FIRST="$${RANDOM_FIRST:-$$(date +%s)}" \
		$(CARGO) test --locked --release --test sim -- --nocapture what_was_acknowledged

# A crate of its own as well; its targets' bodies are part of `make test`.
fuzz: SECONDS ?= 60
fuzz:
	@CARGO='$(CARGO)' bash tests/fuzz/run.sh '$(SECONDS)' '$(TARGET)'

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
