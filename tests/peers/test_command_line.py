"""What the README and the quickstart tell a person to type, on a real server."""

import json
import subprocess

import pytest
from harness.product import binary


@pytest.fixture
def run(switchboard):
    environment = switchboard.environment | {"SWITCHBOARD_SERVER": switchboard.url, "SWITCHBOARD_TOKEN": switchboard.token}

    def run(*arguments, exit_code=0):
        done = subprocess.run([str(binary()), *arguments], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == exit_code, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if exit_code == 0 else done.stderr

    return run


def test_the_quickstart(run, servers):
    run("connection", "add", "typed", servers["everything"].url, "--everyone")
    assert "typed.get-sum" in run("search", "add two numbers", "--connection", "typed")
    assert run("call", "typed.get-sum", '{"a": 2, "b": 40}').strip() == "The sum of 2 and 40 is 42."
    run("connection", "remove", "typed", "--yes")
    assert "typed" in run("call", "typed.get-sum", '{"a": 2, "b": 40}', exit_code=1)


def test_machine_readable_output_is_the_answer_itself(run, servers):
    found = json.loads(run("search", "convert a document to markdown", "--json"))
    assert found["matches"][0]["name"] == "markitdown.convert_to_markdown"
    running = servers["markitdown"]
    called = json.loads(run("call", "markitdown.convert_to_markdown", json.dumps(running.arguments), "--json"))
    assert called["structuredContent"] == servers.answer("markitdown")["structuredContent"]


def test_a_failure_says_what_to_do(run):
    message = run("call", "everything.no-such-tool", exit_code=1)
    assert "no-such-tool" in message and "Search" in message
    assert "not-a-command" in run("not-a-command", exit_code=2)
