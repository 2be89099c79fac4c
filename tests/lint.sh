#!/usr/bin/env bash
# What a reader should not have to check: format, clippy, spelling, licences, the dependency rule.
# Every check runs, also after one failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0

check() {
  local name=$1
  shift
  printf -- '--- %s\n' "$name"
  "$@" || { failed=1; printf 'FAILED: %s\n' "$name"; }
}

check "cargo fmt" cargo fmt --all -- --check
check "spelling" .cache/venv/bin/typos
check "dependencies: bans, licences, sources" .cache/cargo-deny/bin/cargo-deny --log-level warn check bans licenses sources
check "clippy" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
check "the rules themselves" .cache/venv/bin/python -m pytest tests/lint
exit "$failed"
