"""The client snippets: each parses as what it says it is, and the guide shows exactly these."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = tomllib.loads((ROOT / "docs/guide/clients.toml").read_text())["client"]
GUIDE = (ROOT / "docs/guide/connect-clients.md").read_text()

# What the guide puts in the place of `{name}`, `{url}` and `{token}`.
EXAMPLE = {"name": "switchboard", "url": "http://127.0.0.1:8080/mcp", "token": "swb_pat_…"}


def filled(client):
    text = client["text"].strip()
    for name, value in EXAMPLE.items():
        text = text.replace("{" + name + "}", value)
    return text


def strings(value):
    if isinstance(value, dict):
        return [text for child in value.values() for text in strings(child)] + list(value)
    if isinstance(value, list):
        return [text for child in value for text in strings(child)]
    return [value] if isinstance(value, str) else []


def parsed(client):
    text = filled(client)
    match client["kind"]:
        case "json":
            return strings(json.loads(text))
        case "toml":
            return strings(tomllib.loads(text))
        case "command":
            return shlex.split(text)
        case "link":
            assert urlsplit(text).scheme
            return [text]
    raise AssertionError(f"kind {client['kind']}")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client["id"])
def test_a_snippet_parses_and_names_the_endpoint(client):
    words = parsed(client)
    assert EXAMPLE["url"] in words and EXAMPLE["name"] in words or client["id"] == "inspector" and EXAMPLE["url"] in words
    assert re.fullmatch(r"\d{4}-\d{2}", client["checked"])
    assert client["kind"] == "command" or client.get("file"), "say where it belongs"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client["id"])
def test_the_guide_shows_it(client):
    assert client["name"] in GUIDE and filled(client) in GUIDE
    assert client.get("file", "") in GUIDE and client.get("note", "") in GUIDE


def test_ids_are_unique():
    assert len({client["id"] for client in CLIENTS}) == len(CLIENTS)
