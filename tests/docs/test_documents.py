"""Documents are tested like code: their examples parse and their links lead somewhere."""

import json
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bench/**/*.md", "e2e/*.md", "testdata/**/*.md", "crates/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.M | re.S)
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\((?P<image>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.M)


def name(path):
    return str(path.relative_to(ROOT))


def blocks(languages):
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match["language"] in languages:
                line = text.count("\n", 0, match.start()) + 1
                body = "".join(row.removeprefix(match["indent"]) for row in match["body"].splitlines(keepends=True))
                yield pytest.param(match["language"], body, id=f"{name(path)}:{line}")


def anchors(text):
    """The ids a heading gets when a Markdown page is rendered by a forge."""
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")
        while slug in found:
            slug += "-1"
        found.add(slug)
    return found


@pytest.mark.parametrize("language, body", list(blocks({"json", "toml"})))
def test_an_example_parses(language, body):
    (json if language == "json" else tomllib).loads(body)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    broken = []
    for match in LINK.finditer(FENCE.sub("", text)):
        target = match["target"] or match["image"]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file, _, fragment = target.partition("#")
        destination = (path.parent / unquote(file)).resolve() if file else path
        if not destination.exists() or not destination.is_relative_to(ROOT):
            broken.append(f"{target}: no such file")
        elif fragment and destination.suffix == ".md" and fragment not in anchors(destination.read_text(encoding="utf-8")):
            broken.append(f"{target}: no such heading")
    assert not broken


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_a_document_starts_with_its_title(path):
    assert path.read_text(encoding="utf-8").startswith("# ")
