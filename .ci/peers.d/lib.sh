# shellcheck shell=bash disable=SC2034,SC2154
# What the checks share. Sourced, not run; the sourcing script sets `check` first.
#
# A check ends in one of three ways: exit 0; exit 0 after a line `SKIPPED name reason`;
# exit 1 after a line `FAILED name reason`.

set -euo pipefail

PLIMSOLL_BIN=${PLIMSOLL_BIN:-target/release/plimsoll}
PEERS_D=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

scratch=
children=()

skip() {
    echo "SKIPPED $check $*"
    exit 0
}

# Ends the check as failed, with the last lines of every log there is.
fail() {
    local log
    if [ -n "$scratch" ]; then
        for log in "$scratch"/*.log; do
            [ -s "$log" ] || continue
            echo "--- the end of ${log##*/}"
            tail -n 20 "$log" | cut -c 1-400
        done
    fi
    echo "FAILED $check $*"
    exit 1
}

say() {
    echo "$check: $*"
}

needs() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

needs_plimsoll() {
    [ -x "$PLIMSOLL_BIN" ] ||
        fail "$PLIMSOLL_BIN is not there: run cargo build --release, or set PLIMSOLL_BIN"
}

make_scratch() {
    scratch=$(mktemp -d)
}

# Ends what this check started: first politely, after three seconds by force.
end_children() {
    local pid
    [ ${#children[@]} -gt 0 ] || return 0
    kill "${children[@]}" 2>/dev/null || true
    for _ in $(seq 30); do
        kill -0 "${children[@]}" 2>/dev/null || break
        sleep 0.1
    done
    for pid in "${children[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    children=()
}

# The check's last act, whatever its end. A check with more to undo redefines `undo`.
undo() { :; }

clean_up() {
    local status=$?
    trap - EXIT
    set +e
    end_children
    undo
    [ -z "$scratch" ] || rm -rf "$scratch"
    exit "$status"
}

trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start NAME PROGRAM ARGUMENT… runs it in the background, its output in NAME.log; sets `started`.
start() {
    local name=$1
    shift
    "$@" >"$scratch/$name.log" 2>&1 &
    started=$!
    children+=("$started")
}

# until_true SECONDS PROGRAM ARGUMENT… repeats it until it succeeds or time is over.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.5
    done
}

answers() {
    curl -fsS -m 5 -o "${2:-/dev/null}" "$1" 2>/dev/null
}

# start_plimsoll FLAG… serves a fresh data directory on a free port; sets plimsoll_port, plimsoll_pid.
start_plimsoll() {
    plimsoll_port=$(free_port)
    mkdir "$scratch/data"
    plimsoll_flags=("$@")
    plimsoll_asks=false
    restart_plimsoll
}

# Serves the same data on the same port, after it was killed.
restart_plimsoll() {
    # Plimsoll warns of variables of its prefix that are no settings of its own.
    start plimsoll env -u PLIMSOLL_BIN -u PLIMSOLL_PEERS_BUDGET_S -u PLIMSOLL_PEERS_CACHE \
        -u PLIMSOLL_PEERS_CADVISOR PLIMSOLL_AUTH_ENABLED="$plimsoll_asks" "$PLIMSOLL_BIN" serve --no-cgroup --data "$scratch/data" \
        --listen "127.0.0.1:$plimsoll_port" "${plimsoll_flags[@]}"
    plimsoll_pid=$started
    until_true 20 plimsoll_is_up "$started" ||
        fail "plimsoll did not answer /ping within 20 s"
}

# start_guarded_plimsoll FLAG… the same, with authentication and the admin root, password tiger.
start_guarded_plimsoll() {
    plimsoll_port=$(free_port)
    mkdir "$scratch/data"
    plimsoll_flags=("$@")
    plimsoll_asks=true
    restart_plimsoll
    curl -fsS -o "$scratch/made" "http://127.0.0.1:$plimsoll_port/query" --data-urlencode \
        "q=CREATE USER root WITH PASSWORD 'tiger' WITH ALL PRIVILEGES" ||
        fail "the first admin cannot be made"
    local status
    status=$(curl -s -o "$scratch/made" -w '%{http_code}' -G "http://127.0.0.1:$plimsoll_port/query" \
        --data-urlencode 'q=SHOW DATABASES')
    [ "$status" = 401 ] || fail "a request without a password is answered $status"
}

plimsoll_is_up() {
    kill -0 "$1" 2>/dev/null || fail "plimsoll ended before it answered /ping"
    answers "http://127.0.0.1:$plimsoll_port/ping"
}
