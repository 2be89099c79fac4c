"""Commands shown in documents exist, with the options they are shown with.

Compared with docs/reference/, which is generated from the program.
"""

import re
import shlex
from pathlib import Path

import pytest
from test_documents import DOCUMENTS, FENCE, name

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
SHELL = {"console", "sh", "bash", "shell"}


def shown_commands():
    for path in DOCUMENTS:
        if REFERENCE in path.parents:
            continue
        text = path.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block["language"] not in SHELL:
                continue
            for line in re.sub(r"\\\n\s*", "", block["body"]).splitlines():
                command = line.strip()
                if block["language"] == "console" and not command.startswith("$ "):
                    continue  # what the command before it printed
                command = command.removeprefix("$ ")
                if command.startswith("switchboard "):
                    yield pytest.param(command, id=f"{name(path)}: {command[:60]}")


COMMANDS = list(shown_commands())


@pytest.fixture(scope="module")
def reference():
    sections = re.split(r"^## `(.*?)`$", (REFERENCE / "cli.md").read_text(), flags=re.M)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shown_command_exists(command, reference):
    words = shlex.split(command, comments=True)
    path = words[0]
    rest = words[1:]
    while rest and f"{path} {rest[0]}" in reference:
        path = f"{path} {rest.pop(0)}"
    assert path != "switchboard" or all(word.startswith("-") for word in rest), f"no such command: {command}"
    options = {word.split("=")[0] for word in rest if word.startswith("--")}
    known = reference[path] + reference["switchboard"] + (REFERENCE / "configuration.md").read_text()
    assert {option for option in options if not re.search(re.escape(option) + r"\b", known)} == set()
