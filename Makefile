# What a developer does with Midge. `make help` lists it.

CARGO ?= cargo
PORT ?= 1883

.PHONY: help run build check test clean

help:
	@echo 'make run     build the release and start the broker on localhost, port $(PORT)'
	@echo 'make build   build the release: target/release/midge'
	@echo 'make check   formatting, clippy, the tidy and README tests: quick, before every commit'
	@echo 'make test    everything: brings what the tests need (see tests/setup.sh), then cargo test'
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

clean:
	$(CARGO) clean
