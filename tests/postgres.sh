#!/usr/bin/env bash
# A private PostgreSQL for tests: own directory, own port, trust authentication on loopback and a Unix
# socket, nothing synced to disk. One for all test processes; each test makes a database of its own in it.
#
#   tests/postgres.sh start    starts it unless it runs, prints its URL
#   tests/postgres.sh url      prints the URL of the running one
#   tests/postgres.sh stop     stops it and removes its directory
#
# As root it runs as `postgres` or `nobody`, because initdb refuses root. Forgotten, it stops by itself once
# nobody was connected for ten minutes.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=${CARGO_TARGET_DIR:-$root/target}/test-postgres
mkdir -p "$state"

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

binaries() {
  local initdb
  initdb=$(ls -d /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb 2>/dev/null | sort -V | tail -1)
  [ -n "$initdb" ] || initdb=$(readlink -f "$(command -v initdb || true)" 2>/dev/null || true)
  [ -n "$initdb" ] || fail "PostgreSQL is not installed: no initdb under /usr/lib/postgresql/*/bin or on PATH. Install it (Debian: apt-get install postgresql), or set SWITCHBOARD_TEST_SQLITE_ONLY=1 to leave its tests out."
  dirname "$initdb"
}

# as USER COMMAND…: another user when this one is root.
as() {
  local user=$1
  shift
  if [ -z "$user" ]; then
    "$@"
  elif command -v setpriv >/dev/null; then
    setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME=/ "$@"
  else
    runuser -u "$user" -- env HOME=/ "$@"
  fi
}

server_user() {
  [ "$(id -u)" = 0 ] || return 0
  if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

running() {
  [ -s "$state/url" ] && [ -s "$state/directory" ] || return 1
  local directory
  directory=$(cat "$state/directory")
  as "$(server_user)" "$(binaries)/pg_ctl" -D "$directory/data" status >/dev/null 2>&1
}

start() {
  local bin user directory port attempt
  bin=$(binaries)
  user=$(server_user)
  # Below /tmp, because another user must be able to reach it, and because a socket's path is short.
  directory=$(mktemp -d /tmp/switchboard-postgres-XXXXXX)
  [ -z "$user" ] || chown "$user" "$directory"
  cd "$directory"
  as "$user" "$bin/initdb" -D "$directory/data" -U switchboard -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$state/initdb.log" 2>&1 ||
    as "$user" "$bin/initdb" -D "$directory/data" -U switchboard -A trust -E UTF8 --locale=C --no-sync >>"$state/initdb.log" 2>&1 ||
    { cat "$state/initdb.log" >&2; fail "initdb failed (see above)"; }
  as "$user" tee -a "$directory/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$directory'
max_connections = 500
shared_buffers = 64MB
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
autovacuum_naptime = 10min
log_min_messages = warning
CONF
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 40000))
    if as "$user" "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -o "-p $port" -w -t 60 start >/dev/null 2>&1 9>&-; then
      printf '%s\n' "$directory" >"$state/directory"
      printf 'postgres://switchboard@127.0.0.1:%s/postgres\n' "$port" >"$state/url"
      return 0
    fi
  done
  cat "$directory/log" >&2 || true
  fail "PostgreSQL did not start on any of $attempt ports (its log is above)"
}

stop() {
  [ -s "$state/directory" ] || return 0
  local directory
  directory=$(cat "$state/directory")
  as "$(server_user)" "$(binaries)/pg_ctl" -D "$directory/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -f "$state/url" "$state/directory"
  case $directory in /tmp/switchboard-postgres-*) rm -rf "$directory" ;; esac
}

# Stops the cluster that was started when nobody was connected for ten minutes in a row.
watch() {
  local directory idle=0 clients
  directory=$(cat "$state/directory")
  while sleep 60; do
    [ "$(cat "$state/directory" 2>/dev/null)" = "$directory" ] || return 0
    clients=$("$(binaries)/psql" "$(cat "$state/url")" -Atc \
      "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()" 2>/dev/null) || clients=0
    if [ "$clients" = 0 ]; then idle=$((idle + 1)); else idle=0; fi
    if [ "$idle" -ge 10 ]; then
      exec 9>"$state/lock"
      flock -w 120 9 || fail "another process holds $state/lock"
      stop
      return 0
    fi
  done
}

case ${1:-} in
  start)
    exec 9>"$state/lock"
    flock -w 120 9 || fail "another process holds $state/lock"
    if ! running; then
      stop
      start
      # Without the lock and the terminal of this process, so that it can outlive both.
      setsid bash "$root/tests/postgres.sh" watch </dev/null >/dev/null 2>&1 9>&- &
    fi
    cat "$state/url"
    ;;
  url)
    running || fail "no test PostgreSQL is running: tests/postgres.sh start"
    cat "$state/url"
    ;;
  stop)
    exec 9>"$state/lock"
    flock -w 120 9 || fail "another process holds $state/lock"
    stop
    ;;
  watch) watch ;;
  *) fail "usage: tests/postgres.sh start|url|stop" ;;
esac
