"""The same way once more with PostgreSQL underneath, and over a restart."""

import pytest
from harness.clients import CLIENTS, LIST, call, outcome
from harness.product import Switchboard, postgres_database
from harness.servers import SERVERS


@pytest.fixture
def switchboard(tmp_path):
    switchboard = Switchboard(tmp_path, database_url=postgres_database("peers")).start()
    yield switchboard
    switchboard.stop()


def test_a_tool_is_found_and_run_before_and_after_a_restart(switchboard, servers):
    server = SERVERS["everything"]
    switchboard.connect("everything", servers["everything"].url)
    operations = [
        LIST,
        call("search_capabilities", {"query": server.query}),
        call("execute_capability", {"name": f"everything.{server.tool}", "arguments": server.arguments}),
    ]
    for _ in ("before", "after"):
        listed, found, called = CLIENTS[0].run(switchboard.mcp_url, switchboard.bearer(), operations)
        assert len(listed["tools"]) == 2
        assert f"everything.{server.tool}" in {match["name"] for match in found["structuredContent"]["matches"]}
        assert outcome(called) == servers.answer("everything")
        switchboard.stop()
        switchboard.start()
    assert not list(switchboard.data.glob("*.db"))
