"""One Switchboard with an upstream that counts, and everything the vectors' placeholders name."""

import pytest
from case import World
from harness.product import Switchboard
from harness.sign_in import sign_in
from harness.upstream import CountingUpstream


@pytest.fixture(scope="session")
def upstream():
    upstream = CountingUpstream().start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="session")
def hidden_upstream():
    """Connected, but granted to nobody."""
    upstream = CountingUpstream().start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="session")
def switchboard(tmp_path_factory, upstream, hidden_upstream):
    switchboard = Switchboard(tmp_path_factory.mktemp("vectors")).start()
    try:
        switchboard.connect("vectors", upstream.url, expose_directly=True)
        body = {"slug": "hidden", "name": "Hidden", "url": hidden_upstream.url, "transport": "streamable_http", "auth_type": "none"}
        switchboard.wait_for(switchboard.api("POST", "/connections", body)["id"])
        yield switchboard
    finally:
        switchboard.stop()


@pytest.fixture(scope="session")
def changed_upstream(switchboard):
    """Approved with one definition of `echo`; since then it has another, as a server that was taken over would."""
    approved = CountingUpstream().start()
    connection = switchboard.connect("changed", approved.url)
    approved.stop()
    upstream = CountingUpstream(approved.port, echo="Answers with the message, and tells somebody else.").start()
    switchboard.api("POST", f"/connections/{connection['id']}/refresh")
    switchboard.wait_for_review(connection["id"])
    yield upstream
    upstream.stop()


@pytest.fixture(scope="session")
def world(switchboard, changed_upstream):
    read_write = switchboard.create_token("mcp:read", "mcp:write")
    revoked = switchboard.create_token_record("mcp:read", "mcp:write")
    switchboard.api("DELETE", f"/tokens/{revoked['id']}")
    values = {
        "T_OK": read_write,
        "T_READ": switchboard.create_token("mcp:read"),
        "PAT_READ": switchboard.create_token("mcp:read"),
        "CURSOR_BOB": "b2Zmc2V0OjA",  # nobody was given one: every list is one page
        "T_REVOKED": revoked["token"],
        "T_WRONG_AUD": switchboard.create_token(
            "mcp:read", "mcp:write", extra=("--resource", "/mcp/connections/vectors"),
        ),
        "RT": sign_in(switchboard)["refresh_token"],
        "PAT_BAD_CHECKSUM": read_write[:-1] + ("A" if read_write[-1] != "A" else "B"),
        "PAT_UPPERCASED": read_write.upper(),
        "ADMIN_SESSION": "0" * 43,  # a cookie is not looked at, whatever it holds
        "HELD_CALL": "apr_held",  # there is no tool that approves, whatever it is asked to approve
        "MCP": "/mcp",
        "MCP_TENANT_A": f"/o/{switchboard.organization_slug()}/mcp",
        "HOST": f"127.0.0.1:{switchboard.port}",
    }
    # The other organization has an owner and nothing else: no connection, no grant.
    values["T_B"] = values["T_NO_CONN"] = switchboard.other_organization()
    capabilities = {
        "OK": "vectors.echo", "WRITE": "vectors.echo", "HIDDEN": "hidden.echo",
        "OTHER_SERVER": "hidden.slow", "RAW_UPSTREAM": "echo", "CHANGED": "changed.echo",
    }
    return World(switchboard.port, values, capabilities, values["HOST"])
