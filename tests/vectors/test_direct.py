"""Bad requests about what only direct endpoints have: mirrored parameters, sessions, the state of a request."""

import json
import random
import threading
import time
from dataclasses import replace

import pytest
from case import META, build, load
from message import exchange
from test_requests import Before, is_error, judge, send

CASES = {case["id"]: case for case in load()}
ENDPOINT = "/mcp/connections/vectors"
ASKABLE = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}


@pytest.fixture(scope="module")
def direct(world, switchboard):
    capabilities = {"OK": "confirm", "WRITE": "echo", "XHEADER": "regional"}
    return replace(world, values=world.values | {"MCP": ENDPOINT}, capabilities=capabilities, direct=True)


def ask(direct, name, params, meta=META, headers=None):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}, "_meta": meta} | params}
    case = {"base": "call", "body": json.dumps(body), "set_headers": {"mcp-name": name} | (headers or {})}
    return exchange(direct.port, build(case, direct).encode())


def given_state(direct) -> str:
    result = ask(direct, "confirm", {}, ASKABLE).message()["result"]
    assert result["resultType"] == "input_required", result
    return result["requestState"]


def check(case_id, direct, switchboard, upstream, **values):
    case = CASES[case_id]
    before = Before(switchboard, [upstream])
    world = replace(direct, values=direct.values | values)
    judge(case, send(case, world), before, world)


def test_a_mirrored_parameter_agrees_with_its_header(direct, switchboard, upstream):
    check("mcp-d067", direct, switchboard, upstream)
    good = ask(direct, "regional", {"arguments": {"region": "eu-west1"}}, headers={"mcp-param-region": "eu-west1"})
    assert good.status == 200 and not is_error(good), good


def test_a_state_that_was_tampered_with_goes_nowhere(direct, switchboard, upstream):
    state = given_state(direct)
    middle = len(state) // 2
    flipped = state[:middle] + ("A" if state[middle] != "A" else "B") + state[middle + 1:]
    check("mcp-d083", direct, switchboard, upstream, STATE_OK_FLIPPED=flipped)


def test_a_state_is_for_one_tool(direct, switchboard, upstream):
    check("mcp-d084", direct, switchboard, upstream, REQSTATE_FOR_TOOL_OK=given_state(direct))


def test_a_state_leads_on_for_who_was_given_it_alone(direct, upstream):
    state = given_state(direct)
    sure = {"action": "accept", "content": {"sure": True}}
    asked = ask(direct, "confirm", {}, ASKABLE).message()["result"]["inputRequests"]
    again = {"requestState": state, "inputResponses": {key: sure for key in asked}}
    calls = len(upstream.calls)
    other = ask(direct, "confirm", again, ASKABLE, {"authorization": "Bearer {{T_B}}"})
    assert (other.status >= 400 or is_error(other)) and len(upstream.calls) == calls
    own = ask(direct, "confirm", again, ASKABLE)
    assert "confirmed" in json.dumps(own.message()) and len(upstream.calls) == calls + 1


def token_of(switchboard) -> str:
    return switchboard.create_token("mcp:read", "mcp:write", extra=("--organization", switchboard.organization_slug()))


def open_session(direct, token) -> str:
    initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "probe", "version": "1"}}}
    case = {"base": "raw_json", "era": "2025-11-25", "body": json.dumps(initialize), "set_headers": {"authorization": f"Bearer {token}"}}
    return exchange(direct.port, build(case, direct).encode()).headers["mcp-session-id"]


def test_a_session_is_its_own_clients(direct, switchboard, upstream):
    bob = token_of(switchboard)
    session = open_session(direct, bob)
    in_it = lambda token: {"base": "list", "era": "2025-11-25", "set_headers": {"mcp-session-id": session, "authorization": f"Bearer {token}"},  # noqa: E731
                           "body": json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})}
    case = CASES["mcp-d081"]
    expected = case | {"expect": case["expect"] | {"invariants": []}}
    world = replace(direct, values=direct.values | {"SESSION_BOB": session})
    judge(expected, send(case, world), Before(switchboard, [upstream]), world)
    assert send(in_it(direct.values["T_OK"]), direct).status == 403
    assert send(in_it(bob), direct).status == 200
    ended = send(case | {"set_headers": {"mcp-session-id": session, "authorization": f"Bearer {bob}"}}, direct)
    assert ended.status == 204
    assert send(in_it(bob), direct).status == 404


def messages(answer) -> list[dict]:
    """Everything that came on the stream of one answer."""
    lines = answer.body.decode().splitlines()
    return [json.loads(line[5:]) for line in lines if line.startswith("data:")] or [json.loads(answer.body)]


@pytest.mark.parametrize("seed", range(5))
def test_two_clients_of_equal_ids_hear_only_what_is_theirs(seed, direct, switchboard):
    """Equal ids, equal progress tokens, one upstream session, in many orders: what a client hears carries its own words."""
    tokens = [token_of(switchboard) for _ in range(2)]
    crossed = []

    def client(number):
        chance = random.Random(f"{seed}-{number}")
        for round in range(12):
            own = f"client-{number}-{round}"
            meta = META | {"progressToken": chance.choice([0, "token"])}
            time.sleep(chance.random() / 50)
            answer = ask(direct, "walk", {"arguments": {"own": own}}, meta, {"authorization": f"Bearer {tokens[number]}"})
            *told, last = messages(answer)
            good = last["id"] == 1 and own in json.dumps(last["result"]["content"])
            good = good and [note["params"]["message"] for note in told] == [f"{own} {step}" for step in (1, 2, 3)]
            if not good or any(note["params"]["progressToken"] != meta["progressToken"] for note in told):
                crossed.append((own, told, last))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert crossed == []
