"""`switchboard demo` prints commands for a first call: they are run here as they are printed."""

import os
import re
import subprocess

import pytest
from harness.clients import CLIENTS, LIST, call, text_of
from harness.process import Process, free_port
from harness.product import binary


class Demo:
    def __init__(self, directory):
        self.directory = directory
        self.url = f"http://127.0.0.1:{free_port()}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHBOARD_")}
        command = [str(binary()), "demo", "--listen", self.url.removeprefix("http://")]
        self.process = Process(command, directory / "demo.log", env=environment, cwd=directory)
        self.process.wait_until(lambda: "An AI client connects to" in self.printed(), "ready")

    def printed(self) -> str:
        return self.process.log.read_text()

    def token(self) -> str:
        return re.search(r"SWITCHBOARD_TOKEN=(\S+)", self.printed())[1]

    def commands(self) -> list[str]:
        """What it tells a person to paste, one command each."""
        lines = re.sub(r"\\\n\s*", "", self.printed()).splitlines()
        return [line.strip() for line in lines if re.match(r"\s+(export|curl|\S*switchboard) ", line)]

    def paste(self, command: str) -> subprocess.CompletedProcess:
        export = next(line for line in self.commands() if line.startswith("export "))
        return subprocess.run(
            ["bash", "-c", f"{export}\n{command}"], capture_output=True, text=True, timeout=60, cwd=self.directory,
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.process.stop()


def test_what_it_tells_to_paste_works(demo):
    commands = [command for command in demo.commands() if not command.startswith("export ")]
    assert any(command.startswith("curl ") for command in commands)
    for command in commands:
        done = demo.paste(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "error" not in done.stdout.lower(), done.stdout


def test_the_curl_example_multiplies(demo):
    (curl,) = [command for command in demo.commands() if command.startswith("curl ")]
    assert "42" in demo.paste(curl).stdout


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_connects_with_what_it_prints(demo, client):
    multiply = call("execute_capability", {"name": "sample.calculate", "arguments": {"expression": "6*7"}})
    listed, found, called = client.run(
        f"{demo.url}/mcp", {"Authorization": f"Bearer {demo.token()}"},
        [LIST, call("search_capabilities", {"query": "calculate an expression"}), multiply],
    )
    assert [tool["name"] for tool in listed["tools"]] == ["search_capabilities", "execute_capability"]
    assert "sample.calculate" in [match["name"] for match in found["structuredContent"]["matches"]]
    assert "42" in text_of(called)
