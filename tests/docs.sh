#!/usr/bin/env bash
# Documents: examples parse, links resolve, generated references are what the program prints today.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.cache/venv/bin/python -m pytest tests/docs
