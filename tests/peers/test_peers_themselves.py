"""The servers and clients without Switchboard: what every other test here is measured against."""

import pytest
from harness.clients import CLIENTS, LIST, Refused, ask_directly, call, outcome
from harness.servers import SERVERS


@pytest.mark.parametrize("slug", SERVERS)
def test_a_server_lists_its_tools(servers, slug):
    tools = servers.tools(slug)
    assert len(tools) == SERVERS[slug].tools
    assert SERVERS[slug].tool in {tool["name"] for tool in tools}


@pytest.mark.parametrize("slug", [slug for slug, server in SERVERS.items() if server.calls_offline])
def test_a_server_gives_the_same_answer_twice(servers, slug):
    answer = servers.answer(slug)
    assert answer["content"] and not answer["isError"]
    running = servers[slug]
    again = ask_directly(running, [call(running.server.tool, running.arguments)])
    assert outcome(again[0]) == answer


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_reads_a_server(servers, client):
    slug = "markitdown" if client.mode in ("2026-07-28", "modern") else "everything"
    running = servers[slug]
    listed, called = client.run(running.url, running.headers, [LIST, call(running.server.tool, running.arguments)])
    assert {tool["name"] for tool in listed["tools"]} >= {running.server.tool}
    assert outcome(called) == servers.answer(slug)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_says_so_when_it_is_refused(servers, client):
    with pytest.raises(Refused):
        client.run(servers["notion"].url, {}, [LIST])
