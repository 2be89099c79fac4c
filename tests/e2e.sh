#!/usr/bin/env bash
# Waits for `switchboard serve`.
echo "nothing to run yet"
