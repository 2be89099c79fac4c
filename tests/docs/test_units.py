"""The operators' examples that are neither JSON nor TOML."""

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_systemd_unit_parses_and_starts_the_installed_program():
    page = (ROOT / "docs/guide/self-hosting.md").read_text()
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string(page.partition("```ini\n")[2].partition("```")[0])
    assert unit["Service"]["ExecStart"].startswith("/usr/local/bin/switchboard serve ")
    assert unit["Service"]["StateDirectory"] in unit["Service"]["ExecStart"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"
