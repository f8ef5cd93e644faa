#!/usr/bin/env bash
# Starts the speech server, all arguments to server.py; installs what it needs into target/ first, once for each set of
# requirements. With --install-only it ends there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/local-speech

requirements=("$here/requirements.txt")
for argument in "$@"; do
	case $argument in
		base | --model=base) requirements+=("$here/requirements-base.txt") ;;
		joe | --voice=joe) requirements+=("$here/requirements-joe.txt") ;;
	esac
done

key=$(cat "${requirements[@]}" <(python3 --version) | sha256sum | cut -c1-16)
venv=$target/venv-$key
mkdir -p "$target"
# Two of them started at once install once.
exec 9> "$target/lock"
flock 9
if [ ! -e "$venv/complete" ]; then
	echo "Installing the speech server's packages into $venv (about 190 MB)" >&2
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --only-binary :all: \
		--require-hashes "${requirements[@]/#/--requirement=}" >&2
	touch "$venv/complete"
fi
exec 9>&-
[ "${1:-}" != --install-only ] || exit 0
exec "$venv/bin/python" "$here/server.py" --cache "$target/cache" "$@"
