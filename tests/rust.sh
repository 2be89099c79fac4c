#!/usr/bin/env bash
# The Rust tests: unit, property, in-process and database tests, against SQLite and a private PostgreSQL.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Tests start the private PostgreSQL themselves; started here, its trouble is told once instead of by each of them.
if ! bash tests/postgres.sh url >/dev/null 2>&1; then
  url=$(bash tests/postgres.sh start) || exit 1
  echo "PostgreSQL for tests: $url"
  trap 'bash tests/postgres.sh stop' EXIT
fi

if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace --locked --no-fail-fast ${SWITCHBOARD_TEST_LONG:+--profile long --run-ignored all}
else
  cargo test --workspace --locked --no-fail-fast --lib --bins --tests -- ${SWITCHBOARD_TEST_LONG:+--include-ignored}
fi
status=$?
# nextest does not run the examples in the documentation comments.
cargo test --workspace --locked --doc --quiet || status=1
exit "$status"
