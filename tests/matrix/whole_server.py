"""A server of the official Python SDK that does a bit of everything: `server.py old|new|sse|stdio [PORT]`.

`old` and `new` refuse the other generation of the protocol, as a server would that knows only its own.
"""

import asyncio
import json
import sys
from typing import Annotated

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp_types import CreateMessageResult, SamplingMessage, TextContent
from pydantic import BaseModel

MODERN = "2026-07-28"
server = MCPServer("matrix", log_level="ERROR")
cancelled = 0
changes = 0


class Answer(BaseModel):
    colour: str


@server.tool(description="Adds two numbers.")
def add(a: int, b: int) -> int:
    return a + b


@server.tool(description="Tells of its progress in three steps.")
async def walk(ctx: Context) -> str:
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3, f"step {step}")
        await asyncio.sleep(0.05)
    return "arrived"


@server.tool(description="Waits until nobody wants the answer any more.")
async def wait() -> str:
    global cancelled
    try:
        await asyncio.sleep(60)
        return "waited"
    except asyncio.CancelledError:
        cancelled += 1
        raise


@server.tool(description="How many calls were cancelled.")
def count_cancelled() -> int:
    return cancelled


def ask_colour() -> Elicit[Answer]:
    return Elicit("Which colour?", Answer)


@server.tool(description="Asks the person.")
def ask_person(answer: Annotated[Answer, Resolve(ask_colour)]) -> str:
    return f"they like {answer.colour}"


def ask_capital() -> Sample:
    question = SamplingMessage(role="user", content=TextContent(type="text", text="Capital of France?"))
    return Sample([question], max_tokens=20)


@server.tool(description="Asks the client's model.")
def ask_model(answer: Annotated[CreateMessageResult, Resolve(ask_capital)]) -> str:
    return f"it says {answer.content.text}"


@server.tool(description="Adds a prompt and says so.")
async def change(ctx: Context) -> str:
    global changes
    changes += 1

    @server.prompt(name=f"added_{changes}", description="Was added.")
    def added() -> str:
        return "added"

    if ctx.protocol_version and ctx.protocol_version >= MODERN:
        await ctx.notify_prompts_changed()
    else:
        await ctx.session.send_prompt_list_changed()
    return "changed"


@server.resource("matrix://note", name="note", description="A note.")
def note() -> str:
    return "the note"


@server.resource("matrix://item/{id}", name="item", description="One item.")
def item(id: str) -> str:
    return f"item {id}"


@server.prompt(description="Greets somebody.")
def greet(name: str) -> str:
    return f"Say hello to {name}."


def one_generation(app, is_modern: bool):
    """Refuses what the other generation sends."""

    async def front(scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        says_modern = headers.get(b"mcp-protocol-version", b"").decode() == MODERN
        if says_modern == is_modern:
            await app(scope, receive, send)
            return
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "Unsupported protocol version"}}
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(error).encode()})

    return front


def main(kind: str, port: int):
    if kind == "stdio":
        server.run("stdio")
        return
    app = server.sse_app() if kind == "sse" else one_generation(server.streamable_http_app(), kind == "new")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
