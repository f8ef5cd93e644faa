# Keeps the PostgreSQL cluster in the folder $1. Its standard input is a pipe that the test holds: each line names a
# signal for the server and its children, and is answered by an empty line. At the end of the input, that is when the
# test is done or has died, the server is killed and the folder removed.
trap '' HUP INT TERM
cd "$1" || exit

signal() {
	read -r server < server.pid || return 0
	# Stopped, it starts no more children.
	kill -STOP "$server"
	children=$(grep -ls "^PPid:[[:space:]]*$server\$" /proc/[0-9]*/status | tr -cd '0-9\n')
	# shellcheck disable=SC2086 # one word each
	kill "-$1" $children "$server"
	# The key and the id of its System V shared memory, which would outlive it.
	[ "$1" != KILL ] || ipcrm --shmem-id "$(sed -n '7s/.* //p' data/postmaster.pid)"
}

while read -r name; do
	signal "$name"
	echo
done 2> /dev/null
{ signal KILL; } 2> /dev/null
cd / || exit
# What an initdb was writing when the test died comes a moment later.
rm -rf -- "$1" 2> /dev/null || { sleep 1 && rm -rf -- "$1"; }
