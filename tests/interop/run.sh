#!/usr/bin/env bash
# The official Python SDK against the simulated Gemini Live service, over TLS.
#
# Needs python3 and a built binary (PATCHCORD, by default target/debug/patchcord). Installs the pinned SDK into
# a virtual environment in target/interop. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/../.."

patchcord=${PATCHCORD:-target/debug/patchcord}
venv=target/interop
ca=$venv/ca.pem

[ -x "$patchcord" ] || { echo "no binary at $patchcord: run cargo build first" >&2; exit 1; }
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt

exec {log}< <(exec "$patchcord" simulate gemini --listen 127.0.0.1:0 --tls --ca-out "$ca" \
    --fault connection=4,at=after-turn-1,go-away=30s)
simulator=$!
trap 'kill "$simulator" 2>/dev/null || true' EXIT

# The first line is the URL; the service is up and the CA is written when it comes.
read -r -t 30 url <&"$log" || { echo "the simulator did not start" >&2; exit 1; }
cat <&"$log" > "$venv/simulator.log" &

SSL_CERT_FILE=$ca "$venv/bin/python" tests/interop/gemini_sdk.py "$url" \
    || { echo "--- what the simulator saw" >&2; cat "$venv/simulator.log" >&2; exit 1; }
