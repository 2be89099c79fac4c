"""Turns a line of testdata/security/bad_mcp_requests.jsonl into bytes for one running Switchboard.

The vectors speak of tools by role: `{{TOOL_OK}}` may be called, `{{TOOL_HIDDEN}}` exists but not for this
caller. On `/mcp` there are two tools and the roles belong to what `execute_capability` is asked to run,
so a call of `{{TOOL_X}}` becomes a call of `execute_capability` naming the capability that plays X.
"""

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from message import Request

FILE = Path(__file__).resolve().parents[2] / "testdata" / "security" / "bad_mcp_requests.jsonl"
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "probe", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
EXECUTE = "execute_capability"
TOOL = re.compile(r"\{\{TOOL_([A-Z_]+)\}\}")
# In a body: the tool's name (with whatever a case appends to it) and empty arguments.
CALL = re.compile(r'"name":"\{\{TOOL_([A-Z_]+)\}\}([^"]*)","arguments":\{\}')
PLACEHOLDER = re.compile(r"\{\{([A-Z_]+)\}\}")
CALLED = re.compile(r'"name":"\{\{TOOL_[A-Z_]+\}\}"')
REPEATED_LETTER = re.compile(r"\{\{([A-Z])\*(\d+)\}\}")


def load() -> list[dict]:
    cases = [json.loads(line) for line in FILE.read_text(encoding="ascii").split("\n") if line]
    return [case for case in cases if case["direction"] == "client_to_gateway"]


@dataclass
class World:
    """What the placeholders stand for in one running Switchboard."""

    port: int
    values: dict[str, str]  # {{NAME}} → value
    capabilities: dict[str, str] = field(default_factory=dict)  # role → capability
    host: str = ""
    direct: bool = False  # tools stand under their own names, without `execute_capability`

    def fill(self, text: str) -> str:
        text = REPEATED_LETTER.sub(lambda match: match[1] * int(match[2]), text)
        return PLACEHOLDER.sub(lambda match: self.values[match[1]], text)

    def fill_body(self, text: str) -> str:
        if self.direct:
            return self.fill_invariant(text)

        def as_execute(match):
            name = json.dumps(self.capabilities[match[1]])[:-1] + match[2] + '"'
            return f'"name":"{EXECUTE}","arguments":{{"name":{name},"arguments":{{}}}}'

        text = CALL.sub(as_execute, text)
        # With other arguments than none, what is wrong is the call itself: it stays a call of the tool.
        text = CALLED.sub(f'"name":"{EXECUTE}"', text)
        return self.fill_invariant(text)

    def fill_invariant(self, text: str) -> str:
        return self.fill(TOOL.sub(lambda match: self.capabilities[match[1]], text))

    def body_call(self, era: str = MODERN) -> str:
        arguments = {"name": self.capabilities["OK"], "arguments": {"message": "vector"}}
        if self.direct:
            params = {"name": self.capabilities["OK"], "arguments": {}} | ({"_meta": META} if era == MODERN else {})
            return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        params = {"name": EXECUTE, "arguments": arguments} | ({"_meta": META} if era == MODERN else {})
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def tool_header(case: dict, value: str, world: World) -> str:
    """`Mcp-Name` names the tool that is called; a case that mirrors another one disagrees with its body."""
    role = TOOL.fullmatch(value)
    if not role or world.direct:
        return world.fill_invariant(value)
    called = TOOL.search(case.get("body", ""))
    return "search_capabilities" if called and called[1] != role[1] else EXECUTE


def generated_body(generator: dict, world: World) -> bytes:
    message = json.loads(world.body_call())
    match generator["type"]:
        case "long_id":
            message["id"] = "i" * generator["bytes"]
        case "many_keys":
            arguments = message["params"]["arguments"]["arguments"]
            arguments |= {f"key{number}": number for number in range(generator["count"])}
        case unknown:
            raise NotImplementedError(f"generator {unknown}: say here what it makes")
    return json.dumps(message).encode()


def build(case: dict, world: World) -> Request:
    """The request of a case that starts from a valid one (`base` is `call`, `list` or `raw_json`).

    A placeholder that nothing stands for yet is a `KeyError`.
    """
    if "repeat" in case:
        raise NotImplementedError("a flood needs a test of its own")
    era = LEGACY if case.get("era") == LEGACY else MODERN
    headers = {
        "host": world.host,
        "authorization": f"Bearer {world.values['T_OK']}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": era,
    }
    if case["base"] == "call" and era == MODERN:
        headers |= {"mcp-method": "tools/call", "mcp-name": world.capabilities["OK"] if world.direct else EXECUTE}
    body = world.body_call(era)
    if case["base"] == "list":
        headers |= {"mcp-method": "tools/list"}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}})

    for name in case.get("remove_headers", ()):
        headers.pop(name, None)
    for name, value in case.get("set_headers", {}).items():
        headers[name] = world.fill(tool_header(case, value, world))

    if "body_gen" in case:
        content = generated_body(case["body_gen"], world)
    elif "body_b64" in case:
        content = base64.b64decode(case["body_b64"])
    else:
        content = world.fill_body(case.get("body", body)).encode()
    path = world.fill(case.get("path", "{{MCP}}"))
    if "query" in case:
        path += "?" + world.fill(case["query"])
    return Request(case.get("method", "POST"), path, list(headers.items()), content)


def raw(case: dict, world: World) -> bytes:
    """The exact bytes of a `raw` case; `{{LEN}}` is the length of what follows the empty line."""
    head, blank, body = case["raw"].partition("\r\n\r\n")
    body = world.fill(body.replace("{{BODY_CALL}}", world.body_call()))
    head = TOOL.sub(EXECUTE, head).replace("{{LEN}}", str(len(body.encode())))
    return (world.fill(head) + blank + body).encode()
