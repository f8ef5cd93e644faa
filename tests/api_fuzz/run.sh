#!/usr/bin/env bash
# A fuzzing client against the HTTP API: what the document promises is sent, and what it forbids; the answers must be
# as documented, and none may blame the server.
#
# Needs python3 and a built binary (PATCHCORD, by default target/debug/patchcord). Installs the pinned client into a
# virtual environment in target/api-fuzz, once for each set of requirements. Leaves nothing running. The same seed
# gives the same requests: SEED=7 tests/api_fuzz/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

patchcord=$(realpath "${PATCHCORD:-target/debug/patchcord}")
target=${CARGO_TARGET_DIR:-target}/api-fuzz
here=tests/api_fuzz
key=$(cat "$here/requirements.txt" <(python3 --version) | sha256sum | cut -c1-16)
venv=$target/venv-$key

mkdir -p "$target"
exec 9> "$target/lock"
flock 9
# Its programs know the folder they were installed in: a checkout that has moved installs them anew.
if [ "$(cat "$venv/complete" 2> /dev/null)" != "$PWD" ]; then
    echo "Installing the fuzzing client into $venv (about 95 MB)" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --no-deps -r "$here/requirements.txt" >&2
    echo "$PWD" > "$venv/complete"
fi
exec 9>&-
[ "${1:-}" != --install-only ] || exit 0
[ -x "$patchcord" ] || { echo "no binary at $patchcord: run cargo build first" >&2; exit 1; }

scratch=$(mktemp -d)
children=()
stop() {
    for child in "${children[@]}"; do kill "$child" 2> /dev/null || true; done
    wait
    rm -rf "$scratch"
}
trap stop EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
exec {log}< <(exec "$patchcord" simulate gemini --listen 127.0.0.1:0 2> /dev/null)
children+=($!)
read -r -t 30 gemini <&"$log" || { echo "the simulator did not start" >&2; exit 1; }
cat <&"$log" > /dev/null &
children+=($!)

cat > "$scratch/patchcord.toml" << TOML
server.listen = "127.0.0.1:$port"
admin.listen = "off"
server.public_url = "http://127.0.0.1:$port"
store.path = "$scratch/calls.db"
live.endpoint = "${gemini/http/ws}"
agents = [{ name = "sales", number = "+13125550142" }]
TOML
export TWILIO_AUTH_TOKEN=fuzz GEMINI_API_KEY=fuzz PATCHCORD_API_TOKEN=fuzz-token
unset DATABASE_URL
"$patchcord" serve --config "$scratch/patchcord.toml" 2> "$scratch/server.log" &
children+=($!)
python3 - "http://127.0.0.1:$port/readyz" << 'PYTHON'
import sys, time, urllib.request
for _ in range(300):
    try:
        urllib.request.urlopen(sys.argv[1]).read()
        sys.exit()
    except OSError:
        time.sleep(0.1)
sys.exit("the server did not start")
PYTHON

# One call that talks, and some that nobody answers.
ring() { "$patchcord" simulate carrier --webhook "http://127.0.0.1:$port/twilio/voice" "$@" > /dev/null; }
for number in 1 2 3; do ring --to "+1415555019$number" || true; done
ring --fixture fixtures/calls/barge-in.jsonl --to +13125550142
calls=$("$patchcord" calls --config "$scratch/patchcord.toml" --csv | wc -l)
[ "$calls" -ge 5 ] || { echo "the log has only $((calls - 1)) calls" >&2; cat "$scratch/server.log" >&2; exit 1; }

sid=$("$patchcord" calls --config "$scratch/patchcord.toml" --agent sales --csv | sed -n 2p | cut -d, -f3)
{
    cat "$here/schemathesis.toml"
    printf '\n[parameters]\n"path.id" = "%s"\n' "$sid"
} > "$scratch/known.toml"

root=$PWD
cd "$scratch"
fuzz() {
    "$root/$venv/bin/schemathesis" --config-file "$1" run "http://127.0.0.1:$port/api/v1/openapi.json" \
        --header "Authorization: Bearer $PATCHCORD_API_TOKEN" --seed "${SEED:-1}" --generation-database none \
        --no-color "${@:2}" || { echo "--- what the server said" >&2; tail -50 "$scratch/server.log" >&2; exit 1; }
}
fuzz "$root/$here/schemathesis.toml"
# Made-up ids are of no call: once more with one that is.
fuzz "$scratch/known.toml" --include-path '/api/v1/calls/{id}' --max-examples 20
