#!/usr/bin/env bash
# The Rust tests: unit, property, in-process and database tests, against SQLite and a private PostgreSQL.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -f tests/postgres.sh ]; then
  # shellcheck source=/dev/null
  . tests/postgres.sh
fi

if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace --locked --no-fail-fast --no-tests=pass ${SWITCHBOARD_TEST_LONG:+--run-ignored all}
else
  cargo test --workspace --locked --no-fail-fast --lib --bins --tests -- ${SWITCHBOARD_TEST_LONG:+--include-ignored}
fi
status=$?
# nextest does not run the examples in the documentation comments.
cargo test --workspace --locked --doc --quiet || status=1
exit "$status"
