"""Real clients that are given the URL and nothing else: they register, send their person to the browser, get to work."""

import asyncio
import subprocess
import time

import httpx2
import pytest
from harness.clients import LIST, SIGNING_IN, PythonSignIn, Refused, call, outcome, plain, root_cause
from harness.person import NotLetIn, Person
from harness.product import Switchboard, binary

MEMBER = "mia@example.com"
ADD = call("execute_capability", {"name": "everything.get-sum", "arguments": {"a": 2, "b": 40}})


@pytest.fixture(scope="module")
def switchboard(servers, tmp_path_factory):
    switchboard = Switchboard(tmp_path_factory.mktemp("sign-in")).start()
    try:
        switchboard.connect("everything", servers["everything"].url)
        yield switchboard
    finally:
        switchboard.stop()


@pytest.fixture
def member(switchboard):
    """Somebody who was invited and joined; gone after the test."""
    person = Person(MEMBER)
    person.join(switchboard.api("POST", "/invitations", {"email": MEMBER})["url"])
    yield person
    if any(found["email"] == MEMBER for found in switchboard.api("GET", "/members")["items"]):
        remove(switchboard)


def remove(switchboard):
    done = subprocess.run(
        [str(binary()), "member", "remove", MEMBER, "--yes"], capture_output=True, text=True, timeout=60,
        env=switchboard.environment | {"SWITCHBOARD_SERVER": switchboard.url, "SWITCHBOARD_TOKEN": switchboard.token},
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def status(switchboard, path: str, token: str, method: str = "POST") -> int:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"} if method == "POST" else None
    headers = switchboard.bearer(token) | {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    return httpx2.request(method, switchboard.url + path, json=body, headers=headers, timeout=30, trust_env=False).status_code


@pytest.mark.parametrize("client", SIGNING_IN, ids=lambda client: client.name)
def test_the_url_is_all_a_client_needs(switchboard, servers, member, client):
    (listed, called), token = client.run(switchboard.mcp_url, member, [LIST, ADD])
    assert [tool["name"] for tool in listed["tools"]] == ["search_capabilities", "execute_capability"]
    assert "The sum of 2 and 40 is 42." in str(outcome(called)["content"])

    signing_in, consent = member.pages
    assert "Sign in" in signing_in
    assert all(shown in consent for shown in (client.name, "Unverified", "127.0.0.1", MEMBER, switchboard.mcp_url))

    assert status(switchboard, "/mcp", token) == 200
    for elsewhere in ("/mcp/toolkits/x", "/mcp/connections/everything"):
        assert status(switchboard, elsewhere, token) == 401
    assert status(switchboard, "/api/v1/connections", token, "GET") == 401


@pytest.mark.parametrize("client", SIGNING_IN, ids=lambda client: client.name)
def test_who_says_no_is_believed(switchboard, member, client):
    with pytest.raises(Refused, match="access_denied"):
        client.run(switchboard.mcp_url, member, [LIST], decision="deny")


def test_a_removed_member_is_out_within_a_second(switchboard, member):
    """In the middle of a connection: the same client, the same token, one call after the other."""
    client = PythonSignIn("Python agent")
    kept = []

    async def main():
        async with client.connect(switchboard.mcp_url, member) as (mcp, storage):
            kept.append(storage)
            assert not plain(await mcp.call_tool(ADD["call"], ADD["arguments"])).get("isError")
            await asyncio.to_thread(remove, switchboard)
            removed = time.monotonic()
            while time.monotonic() < removed + 1:
                await mcp.call_tool(ADD["call"], ADD["arguments"])
            raise AssertionError("a member who was removed a second ago still runs tools")

    # Its token is refused, so it asks its person to sign in again, who can't any more.
    with pytest.raises(BaseException) as refused:
        asyncio.run(main())
    assert isinstance(root_cause(refused.value), NotLetIn) and "/sign-in: 401" in str(root_cause(refused.value))
    tokens, registered = kept[0].tokens, kept[0].client_info
    assert status(switchboard, "/mcp", tokens.access_token) == 401
    refreshed = httpx2.post(
        f"{switchboard.url}/oauth/token", trust_env=False,
        data={"grant_type": "refresh_token", "refresh_token": tokens.refresh_token, "client_id": registered.client_id},
    )
    assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")
