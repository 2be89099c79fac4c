"""Every real server and every real client through one Switchboard.

A member's client sees two tools, finds a capability by what it does, runs it, and gets what the server
itself would have answered.
"""

import json
import re

import httpx2
import pytest
from harness.clients import CLIENTS, LIST, Refused, ask_directly, call, outcome
from harness.process import free_port
from harness.servers import SERVERS

PYTHON = CLIENTS[0]
by_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
by_server = pytest.mark.parametrize("slug", SERVERS)


def search(query, **more):
    return call("search_capabilities", {"query": query} | more)


def execute(name, arguments=None):
    return call("execute_capability", {"name": name, "arguments": arguments or {}})


def ask(switchboard, operations, client=PYTHON):
    return client.run(switchboard.mcp_url, switchboard.bearer(), operations)


def names(result):
    return [match["name"] for match in result["structuredContent"]["matches"] if "name" in match]


@by_client
def test_a_client_sees_two_tools(switchboard, client):
    (listed,) = ask(switchboard, [LIST], client)
    assert [tool["name"] for tool in listed["tools"]] == ["search_capabilities", "execute_capability"]


@by_client
def test_a_client_finds_and_runs_a_tool(switchboard, servers, client):
    for slug in ("everything", "markitdown"):
        running = servers[slug]
        name = f"{slug}.{running.server.tool}"
        found, called = ask(
            switchboard, [search(running.server.query, connection=slug), execute(name, running.arguments)], client,
        )
        assert name in names(found)
        assert outcome(called) == servers.answer(slug)


@by_client
def test_a_client_is_told_what_is_wrong(switchboard, client):
    (answer,) = ask(switchboard, [execute("everything.no-such-tool")], client)
    error = answer["structuredContent"]
    assert answer["isError"] is True
    assert error["code"] == "unknown_capability"
    assert error["retryable"] is False and error["reference_id"] and error["message"]
    assert isinstance(error["details"]["suggestions"], list)
    assert error["message"] in json.dumps(answer["content"])


@by_client
def test_a_client_without_a_token_is_refused(switchboard, client):
    with pytest.raises(Refused):
        client.run(switchboard.mcp_url, {}, [LIST])


def test_the_refusal_says_where_to_get_a_token(switchboard):
    answer = httpx2.post(switchboard.mcp_url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, trust_env=False)
    challenge = answer.headers["www-authenticate"]
    assert answer.status_code == 401 and challenge.startswith("Bearer ")
    assert f'resource_metadata="{switchboard.url}/.well-known/oauth-protected-resource/mcp"' in challenge


@by_server
def test_every_tool_of_a_server_is_in_the_catalogue(switchboard, servers, slug):
    connection = switchboard.connection(slug)
    assert connection["status"] == "connected"
    assert connection["tools_count"] == len(servers.tools(slug))


@by_server
def test_a_server_is_found_among_all_others(switchboard, slug):
    server = SERVERS[slug]
    (found,) = ask(switchboard, [search(server.query, limit=10)])
    # Three of the servers are the same program: any of them answers.
    candidates = {name.replace("-sse", "").replace("-stdio", "") for name in names(found)}
    assert f"{slug}.{server.tool}".replace("-sse", "").replace("-stdio", "") in candidates


@pytest.mark.parametrize("slug", [slug for slug, server in SERVERS.items() if server.calls_offline])
def test_a_result_arrives_unchanged(switchboard, servers, slug):
    running = servers[slug]
    (answer,) = ask(switchboard, [execute(f"{slug}.{running.server.tool}", running.arguments)])
    assert outcome(answer) == servers.answer(slug)


def without_clock(result):
    """The server writes the time of day into its resources."""
    return re.sub(r"\d{1,2}:\d\d:\d\d [AP]M", "TIME", json.dumps(result))


def without_name_and_reference(result):
    text = json.dumps(result)
    reference = result["structuredContent"]["reference_id"]
    return text.replace(str(reference), "").replace("not-granted", "NAME").replace("not-existing", "NAME")


CONTENT_OF_EVERY_KIND = [
    ("get-tiny-image", {}),
    ("get-structured-content", {"location": "New York"}),
    ("get-annotated-message", {"messageType": "error", "includeImage": True}),
    ("get-resource-links", {"count": 3}),
    ("get-resource-reference", {"resourceType": "Text", "resourceId": 1}),
]


@pytest.mark.parametrize("slug", ["everything", "everything-sse", "everything-stdio"])
def test_content_of_every_kind_arrives_unchanged(switchboard, servers, slug):
    direct = ask_directly(servers[slug], [call(tool, arguments) for tool, arguments in CONTENT_OF_EVERY_KIND])
    through = ask(switchboard, [execute(f"{slug}.{tool}", arguments) for tool, arguments in CONTENT_OF_EVERY_KIND])
    for (tool, _), expected, got in zip(CONTENT_OF_EVERY_KIND, direct, through, strict=True):
        assert without_clock(outcome(got)) == without_clock(outcome(expected)), tool


def test_a_tools_own_error_stays_an_error(switchboard, servers):
    # Refused by the server itself: outside the directory it may show.
    arguments = {"path": "/proc/self/environ"}
    (expected,) = ask_directly(servers["filesystem"], [call("read_text_file", arguments)])
    (got,) = ask(switchboard, [execute("filesystem.read_text_file", arguments)])
    assert expected["isError"] is True
    assert outcome(got) == outcome(expected)


def test_wrong_arguments_are_named(switchboard):
    (answer,) = ask(switchboard, [execute("everything.get-sum", {"a": "two"})])
    error = answer["structuredContent"]
    assert answer["isError"] is True and error["code"] == "invalid_arguments"
    assert "/a" in json.dumps(error["details"]) and "b" in json.dumps(error["details"])


def test_an_ungranted_connection_looks_like_an_unknown_one(switchboard, servers):
    running = servers["everything"]
    body = {"slug": "not-granted", "name": "Not granted", "url": running.url, "transport": "streamable_http", "auth_type": "none"}
    connection = switchboard.api("POST", "/connections", body)
    switchboard.wait_for(connection["id"])
    everywhere, *answers = ask(
        switchboard,
        [search("add two numbers", limit=20)]
        + [ask_for(slug) for slug in ("not-granted", "not-existing")
           for ask_for in (lambda slug: search("add two numbers", connection=slug), lambda slug: execute(f"{slug}.get-sum", {"a": 1, "b": 2}))],
    )
    assert not any(name.startswith("not-granted.") for name in names(everywhere))
    searched, executed, unknown_searched, unknown_executed = map(without_name_and_reference, answers)
    assert searched == unknown_searched and executed == unknown_executed
    assert answers[1]["structuredContent"]["code"] == "unknown_capability"
    switchboard.api("DELETE", f"/connections/{connection['id']}")


def test_a_wrong_key_says_who_must_act(switchboard, servers):
    running = servers["notion"]
    connection = switchboard.api(
        "POST", "/connections",
        {"slug": "wrong-key", "name": "Wrong key", "url": running.url, "transport": "streamable_http", "auth_type": "api_key",
         "credential_mode": "shared", "api_key": {"header": "Authorization", "scheme": "Bearer", "value": "not-the-key"}},
    )
    switchboard.grant(connection)
    read = switchboard.wait_for(connection["id"], status="reauth_required")
    assert read["reason"] and read["message"] and read["action_owner"]
    assert "not-the-key" not in json.dumps(read)
    switchboard.api("DELETE", f"/connections/{connection['id']}")


def test_a_server_that_is_down_hides_nothing_else(switchboard, servers):
    connection = switchboard.api(
        "POST", "/connections",
        {"slug": "down", "name": "Down", "url": f"http://127.0.0.1:{free_port()}/mcp", "transport": "streamable_http", "auth_type": "none"},
    )
    switchboard.grant(connection)
    switchboard.wait_for(connection["id"], status="unreachable")
    found, called = ask(
        switchboard, [search(SERVERS["everything"].query), execute("everything.get-sum", {"a": 2, "b": 40})],
    )
    assert "everything.get-sum" in names(found)
    assert outcome(called) == servers.answer("everything")
    switchboard.api("DELETE", f"/connections/{connection['id']}")
