"""Bad requests from clients, each as the bytes it says, against a running Switchboard."""

import itertools
import json
import re
import socket
import sqlite3
import threading
import time
from dataclasses import replace

import httpx2
import pytest
from case import build, load, raw
from message import Answer, connect, exchange, read
from pending import PENDING

CASES = {case["id"]: case for case in load()}
MEBIBYTE = 1024 * 1024

# Cases with a shape of their own have a test of their own below.
BY_HAND = {"mcp-d034", "mcp-d096", "mcp-d097", "mcp-d098", "mcp-d099"}
# Cases about what only direct endpoints have: test_direct.py.
DIRECT = {"mcp-d067", "mcp-d081", "mcp-d083", "mcp-d084"}
ORDINARY = [case_id for case_id in CASES if case_id not in BY_HAND | DIRECT]


def name(case_id):
    return f"{case_id} {CASES[case_id]['name']}"


def send(case, world, timeout=30) -> Answer:
    if case["base"] == "raw":
        return exchange(world.port, raw(case, world), case["raw"].split(" ", 1)[0], timeout)
    request = build(case, world)
    return exchange(world.port, request.encode(), request.method, timeout)


def is_error(answer: Answer) -> bool:
    message = answer.message() or {}
    return "error" in message or message.get("result", {}).get("isError") is True


def without_what_differs(answer: Answer) -> str:
    """An answer without the two things that may differ between equal refusals: its reference and the name asked for."""
    text = json.dumps(answer.message(), sort_keys=True)
    text = re.sub(r'(\\*"reference_id\\*": ?\\*")[^"\\]*', r"\1", text)
    return re.sub(r"(hidden|absent)\.echo", "NAME", text)


class Before:
    """What is compared with the state after a case."""

    def __init__(self, switchboard, upstreams):
        self.switchboard = switchboard
        self.upstreams = upstreams
        self.calls = [len(upstream.calls) for upstream in upstreams]
        self.resident = switchboard.process.resident_bytes()
        self.began = time.monotonic()

    def check(self, invariant: str, case: dict, answer: Answer, world):
        kind, _, value = invariant.partition(":")
        match kind:
            case "server_alive":
                assert self.switchboard.process.alive(), self.switchboard.process.tail()
                livez = httpx2.get(f"{self.switchboard.url}/livez", timeout=10, trust_env=False)
                assert livez.status_code == 200
            case "no_upstream_call":
                assert [len(upstream.calls) for upstream in self.upstreams] == self.calls
            case "never_calls":
                called = self.upstreams[1].calls[self.calls[1]:]
                assert not called, "the hidden upstream was called"
            case "no_5xx":
                assert answer.status < 500
            case "is_error":
                assert answer.status >= 400 or is_error(answer), answer
            case "response_has_no":
                everything = answer.body.decode(errors="replace") + json.dumps(answer.headers)
                assert value not in everything
            case "answered_within":
                assert time.monotonic() - self.began < float(value.removesuffix("s"))
            case "rss_bounded":
                assert self.switchboard.process.resident_bytes() - self.resident < 64 * MEBIBYTE
            case "same_answer_as_for_tool":
                unknown = json.loads(json.dumps(case).replace("{{TOOL_HIDDEN}}", "{{TOOL_NONE}}"))
                # The same tool of a connection that does not exist: suggestions go by the words of a name.
                other = replace(world, capabilities=world.capabilities | {"NONE": "absent.echo"})
                reference = send(unknown, other)
                assert (answer.status, without_what_differs(answer)) == (reference.status, without_what_differs(reference))
            case "no_egress_to":
                log = self.switchboard.process.log.read_text(errors="replace")
                assert f"connect {value}" not in log
            case "no_foreign_rows":
                assert is_error(answer) or len(answer.message()["result"]["tools"]) == 2, answer
            case "no_db_lookup":
                pass  # not visible from outside: asserted where tokens are parsed, in `vault`
            case unknown:
                raise NotImplementedError(f"invariant {unknown}: say here how it is checked")


def judge(case, answer, before, world):
    expect = case["expect"]
    assert answer.status in expect["status"], f"{answer.status} {answer.body[:300]!r}"
    for header, parts in expect.get("header_contains", {}).items():
        for part in parts:
            assert part in answer.headers.get(header, ""), answer.headers
    message = answer.message()
    if "jsonrpc_code" in expect and message and "error" in message:
        assert message["error"]["code"] in expect["jsonrpc_code"], message
    for invariant in expect["invariants"]:
        before.check(world.fill_invariant(invariant), case, answer, world)


@pytest.mark.parametrize("case_id", ORDINARY, ids=name)
def test_a_bad_request_does_no_harm(case_id, switchboard, world, upstream, hidden_upstream, changed_upstream):
    case = CASES[case_id]
    before = Before(switchboard, [upstream, hidden_upstream, changed_upstream])
    if case_id not in PENDING:
        judge(case, send(case, world), before, world)
        return
    try:
        judge(case, send(case, world), before, world)
    except (AssertionError, KeyError, NotImplementedError):
        pytest.skip("issue {}: {}".format(*PENDING[case_id]))
    pytest.fail("listed in pending.py, but it passes: take it out of the table")


def test_the_valid_request_that_cases_start_from_succeeds(world, upstream):
    calls = len(upstream.calls)
    answer = send({"base": "call"}, world)
    assert answer.status == 200 and not is_error(answer), answer
    assert len(upstream.calls) == calls + 1
    answer = send({"base": "list"}, world)
    assert answer.status == 200 and len(answer.message()["result"]["tools"]) == 2


def test_nothing_of_a_request_reaches_the_upstream(world, upstream):
    seen = len(upstream.headers_seen)
    own = {"cookie": "session=canary-cookie", "x-api-key": "canary-key", "x-forwarded-for": "203.0.113.9", "x-anything": "canary"}
    answer = send({"base": "call", "set_headers": own}, world)
    assert answer.status == 200 and not is_error(answer), answer
    received = upstream.headers_seen[seen:]
    assert received
    for headers in received:
        assert not headers.keys() & {"authorization", "cookie", "x-api-key", "x-forwarded-for", "x-anything"}
        assert world.values["T_OK"] not in json.dumps(headers) and "canary" not in json.dumps(headers)


@pytest.mark.parametrize("site, status", [(None, 403), ("cross-site", 403), ("same-site", 403), ("same-origin", 200)])
def test_an_origin_without_a_name_is_only_our_own_pages(world, site, status):
    headers = {"origin": "null"} | ({"sec-fetch-site": site} if site else {})
    assert send({"base": "list", "set_headers": headers}, world).status == status


@pytest.mark.parametrize("fields", [
    {"transport": "stdio", "command": "touch", "args": ["/tmp/started"]},
    {"transport": "stdio"},
    {"command": "touch"},
    {"args": ["x"]},
    {"env": {"A": "b"}},
], ids=lambda fields: "+".join(fields))
def test_the_api_starts_no_program(switchboard, upstream, fields):
    body = {"slug": "program", "name": "Program", "url": upstream.url, "transport": "streamable_http", "auth_type": "none"} | fields
    for method, path in (("POST", "/connections"), ("PATCH", f"/connections/{switchboard.connection('vectors')['id']}")):
        answer = httpx2.request(
            method, f"{switchboard.url}/api/v1{path}", json=fields if method == "PATCH" else body,
            headers=switchboard.bearer(), trust_env=False,
        )
        assert 400 <= answer.status_code < 500, (method, answer.status_code, answer.text)
        problem = answer.json()
        assert answer.headers["content-type"].startswith("application/problem+json") and problem["code"], problem


def test_pending_cases_exist():
    assert set(PENDING) <= set(CASES)


def test_slow_headers_are_cut_off_and_hinder_nobody(world, switchboard):
    case = CASES["mcp-d034"]
    limit = next(float(i.removeprefix("closed_within:").removesuffix("s")) for i in case["expect"]["invariants"] if i.startswith("closed"))
    rate = case["raw_gen"]["bytes_per_second"]
    with connect(world.port, timeout=1 / rate) as connection:
        head = itertools.chain(f"POST /mcp HTTP/1.1\r\nHost: {world.host}\r\nX-Slow: ".encode(), itertools.repeat(ord("a")))
        deadline = time.monotonic() + limit
        answer = None
        while answer is None:
            assert time.monotonic() < deadline, f"still open after {limit} s"
            try:
                connection.sendall(bytes([next(head)]))
                if not connection.recv(1, socket.MSG_PEEK):
                    answer = Answer(0)
                else:
                    answer = read(connection)
            except TimeoutError:
                assert send({"base": "list"}, world).status == 200
            except ConnectionError:
                answer = Answer(0)
    assert answer.status in case["expect"]["status"]
    assert switchboard.process.alive()


def test_equal_ids_of_two_clients_never_cross(world):
    rounds = CASES["mcp-d096"]["concurrency"]["rounds"]
    crossed = []

    def client(own):
        for number in range(rounds):
            case = {"base": "call"}
            request = build(case, world)
            body = json.loads(request.body)
            body["id"] = 0
            body["params"]["arguments"]["arguments"]["message"] = f"{own}-{number}"
            request.body = json.dumps(body).encode()
            message = exchange(world.port, request.encode()).message()
            text = json.dumps(message)
            if message.get("id") != 0 or f"echo: {own}-{number}" not in text:
                crossed.append((own, number, text))

    threads = [threading.Thread(target=client, args=(own,)) for own in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert crossed == []


def test_calls_whose_client_vanished_are_cancelled(world, upstream, switchboard):
    concurrency = CASES["mcp-d098"]["concurrency"]
    slow = json.loads(world.body_call())
    slow["params"]["arguments"] = {"name": "vectors.slow", "arguments": {}}
    request = build({"base": "call", "body": json.dumps(slow)}, world).encode()
    at_once = 40
    for _ in range(concurrency["count"] // at_once):
        connections = [connect(world.port, timeout=10) for _ in range(at_once)]
        for connection in connections:
            connection.sendall(request)
        time.sleep(concurrency["abort_after_ms"] / 1000)
        for connection in connections:
            connection.close()
    deadline = time.monotonic() + 30
    while upstream.waiting and time.monotonic() < deadline:
        time.sleep(0.1)
    assert upstream.waiting == 0, f"{upstream.waiting} upstream calls go on for nobody"
    answer = send({"base": "call"}, world)
    assert answer.status == 200 and not is_error(answer), answer
    assert switchboard.process.alive()


def test_a_flood_of_registrations_leaves_few_rows(world, switchboard):
    case = CASES["mcp-d099"]
    one = {"base": "raw_json", "path": case["path"], "body": case["body"], "remove_headers": ["authorization"]}
    database = sqlite3.connect(f"file:{switchboard.data / 'switchboard.db'}?mode=ro", uri=True)
    rows = lambda: database.execute("SELECT count(*) FROM oauth_client").fetchone()[0]  # noqa: E731
    before, began = rows(), time.monotonic()
    statuses = [send(one, world).status for _ in range(case["repeat"])]
    minutes = (time.monotonic() - began) / 60
    assert set(statuses) <= set(case["expect"]["status"]), sorted(set(statuses))
    assert rows() - before == statuses.count(201) <= 60 * (minutes + 1) + 1
    assert send({"base": "list"}, world).status == 200


def test_a_flood_of_streams_is_capped_for_its_caller_alone(world, switchboard):
    case = CASES["mcp-d097"]
    one = {name: value for name, value in case.items() if name != "repeat"}
    before = Before(switchboard, [])
    request = build(one, world).encode().replace(b"connection: close", b"connection: keep-alive")
    at_once, statuses, open_streams = 100, [], []
    for _ in range(at_once):
        connection = connect(world.port, timeout=10)
        connection.sendall(request)
        statuses.append(int(connection.recv(12).split()[1]))
        open_streams.append(connection)
    try:
        assert set(statuses) <= set(case["expect"]["status"])
        assert statuses.count(200) == 32
        others = {"base": "list", "set_headers": {"authorization": "Bearer {{T_B}}"}}
        assert send(others, world).status == 200
        assert send({"base": "call"}, world).status == 200
        before.check("rss_bounded", case, Answer(200), world)
    finally:
        for connection in open_streams:
            connection.close()
