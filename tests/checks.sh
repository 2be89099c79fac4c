#!/usr/bin/env bash
# Takes each authorisation check away and sees whether a test notices: what `./test --long` runs besides.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The checks' own tests need no PostgreSQL: they know nothing of databases.
exec python3 tests/mutation-of-checks.py
