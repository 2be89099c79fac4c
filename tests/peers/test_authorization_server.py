"""The authorization server with those who know the standard better than we do: the conformance suite, the Inspector,
an SDK that refreshes by itself."""

import asyncio
import re
import subprocess
import time

import httpx2
import pytest
from harness.clients import LIST, SIGNING_IN, Memory, PythonSignIn, call, outcome, plain
from harness.person import Person
from harness.process import NODE_MODULES, free_port, node
from harness.product import OWNER, Switchboard, postgres_database
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client

ADD = call("execute_capability", {"name": "everything.get-sum", "arguments": {"a": 2, "b": 40}})


def owner(switchboard) -> Person:
    return Person(OWNER, (switchboard.directory / "owner-password").read_text())


@pytest.fixture(scope="module")
def switchboard(tmp_path_factory):
    switchboard = Switchboard(tmp_path_factory.mktemp("authorization")).start()
    try:
        yield switchboard
    finally:
        switchboard.stop()


SUITE = NODE_MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


def test_the_conformance_suite_has_nothing_to_say(switchboard):
    """Every scenario it has for authorization servers; its browser is a person of ours. A client with a secret has no
    scenario here: the suite leaves the secret out wherever a server also takes clients without one."""
    port = free_port()
    redirect = f"http://127.0.0.1:{port}/callback"
    made = switchboard.api("POST", "/oauth-clients", {"name": "Conformance", "redirect_uris": [redirect]})
    command = [
        node(), str(SUITE), "authorization", "--url", switchboard.url, "--client-id", made["client_id"],
        "--port", str(port), "--resource", switchboard.mcp_url,
    ]
    output = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=switchboard.directory,
    ) as child:
        try:
            for line in child.stdout:
                output.append(line)
                if link := re.search(r"http://\S+/oauth/authorize\?\S+", line):
                    said = owner(switchboard).answer(link[0], redirect)
                    httpx2.get(redirect, params=said, timeout=30, trust_env=False)
            status = child.wait(timeout=60)
        finally:
            child.kill()
    text = re.sub("\x1b\\[[0-9;]*m", "", "".join(output))
    assert status == 0, text
    for scenario in ("authorization-server-metadata-endpoint", "authorization-code-grant"):
        assert re.search(rf"{scenario}: [1-9]\d* passed, 0 failed", text), text
    assert "WARNING" not in text and "SKIPPED" not in text, text


def test_an_sdk_refreshes_by_itself(tmp_path, servers):
    """Access tokens that last two seconds: the client goes on without its person."""
    switchboard = Switchboard(tmp_path)
    switchboard.environment["SWITCHBOARD_OAUTH_ACCESS_TOKEN_LIFETIME"] = "2s"
    switchboard.start()
    try:
        switchboard.connect("everything", servers["everything"].url)
        person = owner(switchboard)

        async def main():
            async with PythonSignIn("Python agent").connect(switchboard.mcp_url, person) as (mcp, storage):
                assert not plain(await mcp.call_tool(ADD["call"], ADD["arguments"])).get("isError")
                first = storage.tokens
                await asyncio.sleep(3)
                called = plain(await mcp.call_tool(ADD["call"], ADD["arguments"]))
                assert "The sum of 2 and 40 is 42." in str(outcome(called)["content"])
                assert storage.tokens.access_token != first.access_token
                assert storage.tokens.refresh_token != first.refresh_token

        asyncio.run(main())
        assert len(person.pages) == 2, "signing in and consent, once"
        actions = [entry["action"] for entry in switchboard.api("GET", "/audit?limit=100")["items"]]
        assert "oauth.refresh" in actions and actions.count("oauth.consent") == 1
    finally:
        switchboard.stop()


@pytest.mark.parametrize("client", [SIGNING_IN[0], SIGNING_IN[2]], ids=lambda client: client.name)
def test_a_client_signs_in_on_postgres(tmp_path, servers, client):
    switchboard = Switchboard(tmp_path, database_url=postgres_database("sign_in_peers")).start()
    try:
        switchboard.connect("everything", servers["everything"].url)
        (listed, called), token = client.run(switchboard.mcp_url, owner(switchboard), [LIST, ADD])
        assert len(listed["tools"]) == 2
        assert "The sum of 2 and 40 is 42." in str(outcome(called)["content"])
        (seen,) = switchboard.api("GET", "/oauth-clients")["items"]
        assert (seen["kind"], seen["grants"]) == ("dynamic", 1)
        removed = time.monotonic()
        switchboard.api("DELETE", f"/oauth-clients/{seen['id']}")
        while _status(switchboard, token) != 401:
            assert time.monotonic() < removed + 10, "what a forgotten client held still works"
            time.sleep(0.1)
    finally:
        switchboard.stop()


def _status(switchboard, token: str) -> int:
    headers = switchboard.bearer(token) | {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    return httpx2.post(switchboard.mcp_url, json=body, headers=headers, timeout=30, trust_env=False).status_code


def test_a_program_signs_in_with_its_secret(switchboard, servers):
    """`client_credentials` through the library that the SDK has for it, to a call."""
    switchboard.connect("everything", servers["everything"].url)
    account = switchboard.api("POST", "/service-accounts", {"name": "nightly"})
    made = switchboard.api("POST", f"/service-accounts/{account['id']}/secret", {})

    async def main():
        provider = ClientCredentialsOAuthProvider(
            server_url=switchboard.mcp_url, storage=Memory(), client_id=made["client_id"],
            client_secret=made["client_secret"], issuer=switchboard.url, scope="mcp:read mcp:write",
        )
        async with httpx2.AsyncClient(auth=provider, timeout=60, trust_env=False) as http:
            async with Client(streamable_http_client(switchboard.mcp_url, http_client=http), mode="auto") as client:
                return plain(await client.call_tool(ADD["call"], ADD["arguments"]))

    assert "The sum of 2 and 40 is 42." in str(outcome(asyncio.run(main()))["content"])
    entries = switchboard.api("GET", "/audit?limit=50")["items"]
    called = next(entry for entry in entries if entry["action"] == "capability.execute")
    assert (called["actor"]["type"], called["actor"]["id"]) == ("service_account", account["id"])
