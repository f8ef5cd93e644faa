# The commands of a fresh machine are `make demo`, `make faults` and `make test`. Each installs the system packages it needs
# by apt and says so; neither needs a key or an account.

SHELL := /usr/bin/env bash
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CARGO := cargo
LOCAL_SPEECH_PORT := 8090
# For example: --model base --voice joe
LOCAL_SPEECH_ARGS :=

.PHONY: demo faults bench bench-capacity bench-leaks bench-diagnostics soak bench-log test deny api-fuzz chaos interop local-speech
.PHONY: deps deps-interop deps-python deps-local-speech deps-postgres deps-pgbouncer deps-opus-tools deps-proxies

# The speech engines run as long as the demo does, on a free port.
demo: deps deps-local-speech ## plays recorded calls through the server and simulated peers
	$(CARGO) build --locked
	$(CARGO) run --locked --quiet -- demo --speech-server tools/local-speech/run.sh

faults: deps deps-local-speech ## measures what callers hear when something breaks; fails where a bar is missed
	$(CARGO) build --locked
	$(CARGO) run --locked --quiet -- demo --faults --speech-server tools/local-speech/run.sh

test: deps deps-local-speech deps-postgres deps-pgbouncer deps-opus-tools deps-proxies deps-python ## format, lints, all tests, dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked
	$(CARGO) build --locked
	tests/api_fuzz/run.sh
	tests/supply_chain/run.sh

deny: deps deps-python ## dependencies against deny.toml: advisories, licences, sources; offline, with a list of its own
	tests/supply_chain/run.sh

api-fuzz: deps deps-python ## a fuzzing client against the HTTP API, by its own document
	$(CARGO) build --locked
	tests/api_fuzz/run.sh

chaos: deps deps-postgres ## kills Postgres and the server under 200 calls; fails where a row is lost or frames are late
	CHAOS=full $(CARGO) test --locked --test chaos -- --nocapture

# For example: BENCH='whole' or 'resample'. A row is one 20 ms frame.
bench: deps ## how long each step of a frame takes, and what it allocates
	$(CARGO) bench --locked --bench frame -- $(BENCH)

# For example: BENCH_CAPACITY='--calls 100 --seconds 30'. Wants two cores that have nothing else to do.
bench-capacity: deps ## what calls cost the bridge, and a plain relay with the same sockets, the floor of any bridge
	$(CARGO) bench --locked --bench capacity -- $(BENCH_CAPACITY)

bench-leaks: deps ## what 20,000 short calls leave behind: tasks, descriptors, heap
	$(CARGO) bench --locked --bench leaks

bench-diagnostics: deps ## how late frames are while the server's log is not read, dies or has no room, and while it is read
	DIAGNOSTICS=full $(CARGO) test --locked --test diagnostics a_log_that_is_not_read -- --nocapture

# Eighty of a hundred of what the machine carries is a good number of calls.
SOAK_MINUTES := 60
SOAK_CALLS := 200
soak: deps ## many calls for an hour (SOAK_MINUTES, SOAK_CALLS): fails where one is lost or late or memory goes on growing; target/soak.html shows it over time
	$(CARGO) run --locked --release --quiet -- load --pin --calls $(SOAK_CALLS) --duration $(SOAK_MINUTES)m --html target/soak.html

# For example: BENCH_LOG='questions --calls 100000'. In full it needs ten gigabytes on the disk of /tmp for a while.
bench-log: deps deps-postgres ## how fast the call log takes records, ships them and answers questions
	$(CARGO) bench --locked --bench log -- $(BENCH_LOG)

interop: deps deps-interop ## the official Python clients talk with the simulated services
	$(CARGO) build --locked
	tests/interop/run.sh

local-speech: deps-local-speech ## speech to text and back on this machine, without a key: see tools/local-speech
	tools/local-speech/run.sh --port $(LOCAL_SPEECH_PORT) $(LOCAL_SPEECH_ARGS)

# The bundled SQLite and the cryptography are built from C; libopus is the system's.
deps:
	@command -v $(CARGO) > /dev/null || { echo "Rust is missing: install it with rustup, https://rustup.rs"; exit 1; }
	@command -v cc > /dev/null || { \
		echo "Installing a C compiler by apt: build-essential"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends build-essential; }
	@pkg-config --exists opus 2> /dev/null || { \
		echo "Installing libopus by apt: libopus-dev pkg-config"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends libopus-dev pkg-config; }

# opusinfo judges recordings.
deps-interop: deps-python

deps-python:
	@python3 -c 'import venv, ensurepip' > /dev/null 2>&1 || { \
		echo "Installing Python by apt: python3 python3-venv"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends python3 python3-venv; }

deps-local-speech: deps-python
	tools/local-speech/run.sh --install-only

# The tests run servers of their own: installed is what they run, and the package is told to start none.
CREATE_CLUSTER := /etc/postgresql-common/createcluster.d/patchcord.conf
deps-postgres:
	@ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || command -v initdb > /dev/null || \
		[ -x "$$(pg_config --bindir 2> /dev/null)/initdb" ] || { \
		echo "Installing the PostgreSQL server by apt, without a cluster: postgresql"; \
		$(SUDO) mkdir -p $(dir $(CREATE_CLUSTER)) && trap '$(SUDO) rm -f $(CREATE_CLUSTER)' EXIT && \
		echo "create_main_cluster = false" | $(SUDO) tee $(CREATE_CLUSTER) > /dev/null && \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends postgresql; }

# The tests run PgBouncer and the proxies with configurations of their own. Their packages start services unless the
# policy of the machine forbids it.
POLICY := /usr/sbin/policy-rc.d
deps-pgbouncer:
	@[ -x /usr/sbin/pgbouncer ] || command -v pgbouncer > /dev/null || { \
		echo "Installing PgBouncer by apt, without starting it: pgbouncer"; \
		[ -e $(POLICY) ] || { trap '$(SUDO) rm -f $(POLICY)' EXIT; \
			printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $(POLICY) > /dev/null; $(SUDO) chmod +x $(POLICY); }; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends pgbouncer; }

deps-opus-tools:
	@command -v opusinfo > /dev/null || { \
		echo "Installing the tools of Opus by apt: opus-tools"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends opus-tools; }

deps-proxies:
	@(export PATH=$$PATH:/usr/sbin; command -v nginx && command -v haproxy && command -v caddy) > /dev/null || { \
		echo "Installing proxies by apt, without their services: nginx haproxy caddy"; \
		if [ ! -e $(POLICY) ]; then \
			trap '$(SUDO) rm -f $(POLICY)' EXIT && \
			printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $(POLICY) > /dev/null && $(SUDO) chmod +x $(POLICY); fi && \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends nginx haproxy caddy; }
