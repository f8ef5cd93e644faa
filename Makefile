# The commands of a fresh machine are `make demo`, `make faults` and `make test`. Each installs the system packages it needs
# by apt and says so; neither needs a key or an account.

SHELL := /usr/bin/env bash
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CARGO := cargo
LOCAL_SPEECH_PORT := 8090
# For example: --model base --voice joe
LOCAL_SPEECH_ARGS :=

.PHONY: demo faults test interop local-speech deps deps-interop deps-python deps-local-speech

# The speech engines run as long as the demo does, on a free port.
demo: deps deps-local-speech ## plays recorded calls through the server and simulated peers
	$(CARGO) build --locked
	$(CARGO) run --locked --quiet -- demo --speech-server tools/local-speech/run.sh

faults: deps deps-local-speech ## measures what callers hear when something breaks; fails where a bar is missed
	$(CARGO) build --locked
	$(CARGO) run --locked --quiet -- demo --faults --speech-server tools/local-speech/run.sh

test: deps deps-local-speech ## format, lints, all tests
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked

interop: deps deps-interop ## the official Python clients talk with the simulated services
	$(CARGO) build --locked
	tests/interop/run.sh

local-speech: deps-local-speech ## speech to text and back on this machine, without a key: see tools/local-speech
	tools/local-speech/run.sh --port $(LOCAL_SPEECH_PORT) $(LOCAL_SPEECH_ARGS)

# The bundled SQLite and the cryptography are built from C.
deps:
	@command -v $(CARGO) > /dev/null || { echo "Rust is missing: install it with rustup, https://rustup.rs"; exit 1; }
	@command -v cc > /dev/null || { \
		echo "Installing a C compiler by apt: build-essential"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends build-essential; }

deps-interop: deps-python

deps-python:
	@python3 -c 'import venv, ensurepip' > /dev/null 2>&1 || { \
		echo "Installing Python by apt: python3 python3-venv"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends python3 python3-venv; }

deps-local-speech: deps-python
	tools/local-speech/run.sh --install-only
