#!/usr/bin/env bash
# Official clients against the simulated peers: the Gemini Live service over TLS, and the HTTP providers.
#
# Needs python3 and a built binary (PATCHCORD, by default target/debug/patchcord). Installs the pinned clients into
# a virtual environment in target/interop. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/../.."

patchcord=${PATCHCORD:-target/debug/patchcord}
venv=target/interop
ca=$venv/ca.pem
caller=fixtures/audio/human-caller-side-buys-a-chromecast.wav

[ -x "$patchcord" ] || { echo "no binary at $patchcord: run cargo build first" >&2; exit 1; }
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt

exec {log}< <(exec "$patchcord" simulate gemini --listen 127.0.0.1:0 --tls --ca-out "$ca" \
    --fault connection=4,at=after-turn-1,go-away=30s)
simulator=$!
exec {providers_log}< <(exec "$patchcord" simulate providers --port 0 --pace 1 --key interop \
    --transcript "Where is my order?" --fault "llm=refuse:429@3x1" --fault "llm=cut@4x1")
providers=$!
trap 'kill "$simulator" "$providers" 2>/dev/null || true' EXIT

# The first line is the URL; the service is up and the CA is written when it comes.
read -r -t 30 url <&"$log" || { echo "the simulator did not start" >&2; exit 1; }
cat <&"$log" > "$venv/simulator.log" &
read -r -t 30 providers_url <&"$providers_log" || { echo "the providers did not start" >&2; exit 1; }
cat <&"$providers_log" > "$venv/providers.log" &

"$venv/bin/python" tests/interop/providers.py "$providers_url" interop "$caller" \
    || { echo "--- what the providers saw" >&2; cat "$venv/providers.log" >&2; exit 1; }
SSL_CERT_FILE=$ca "$venv/bin/python" tests/interop/gemini_sdk.py "$url" \
    || { echo "--- what the simulator saw" >&2; cat "$venv/simulator.log" >&2; exit 1; }
