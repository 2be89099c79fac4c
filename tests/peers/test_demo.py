"""`switchboard demo` prints commands for a first call: they are run here as they are printed."""

import json
import os
import re
import subprocess
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
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
    waits_for_a_person = " connection connect "
    commands = [
        command for command in demo.commands()
        if not command.startswith("export ") and waits_for_a_person not in command and " call mail." not in command
    ]
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


def test_two_people_connect_accounts_of_their_own(demo):
    printed = demo.printed()
    people = [
        ("owner@demo.invalid", re.search(r"as owner@demo.invalid with the password (\S+)", printed)[1], "ada", ""),
        ("mia@demo.invalid", re.search(r"as mia@demo.invalid with the password ([0-9a-f]+)", printed)[1], "ben",
         re.search(r"(SWITCHBOARD_TOKEN=\S+) \S+ connection connect mail", printed)[1] + " "),
    ]
    program = re.search(r"(\S+) connection connect mail", printed)[1]
    lists = f"{program} call mail.list_messages --json"
    for email, password, account, token in people:
        before = demo.paste(f"{token}{lists}")
        assert before.returncode == 1 and "needs_connection" in before.stdout + before.stderr, before
        started = json.loads(demo.paste(f"{token}{program} connection connect mail --no-wait --json").stdout)
        with httpx2.Client(timeout=30, trust_env=False) as browser:
            to_sign_in = browser.get(started["authorization_url"])
            assert to_sign_in.is_redirect, to_sign_in.text
            return_to = parse_qs(urlsplit(to_sign_in.headers["location"]).query)["return_to"][0]
            signed_in = browser.post(
                f"{demo.url}/sign-in", data={"email": email, "password": password, "return_to": return_to},
            )
            assert signed_in.is_redirect, signed_in.text
            away = browser.get(started["authorization_url"]).headers["location"]
            page = browser.get(away)
            (link,) = [unescape(link) for link in re.findall(r'href="([^"]+)"', page.text) if f"account={account}" in link]
            back = browser.get(urljoin(away, link)).headers["location"]
            end = browser.get(browser.get(back).headers["location"] if back.startswith("/") else back, follow_redirects=True)
        assert "is connected" in end.text, end.text
        done = json.loads(demo.paste(f"{token}{lists}").stdout)
        assert done["structuredContent"]["account"] == account
    # Taken back, the provider confirms it, and the other's stays.
    gone = demo.paste(f"{people[1][3]}{program} connection disconnect mail --yes")
    assert "confirmed" in gone.stdout, gone
    assert demo.paste(f"{people[1][3]}{lists}").returncode == 1
    assert demo.paste(lists).returncode == 0
