"""A well-behaved MCP server inside the test process, which counts what reaches it."""

import asyncio
import random
import threading
from typing import Annotated

import uvicorn
from mcp.server import MCPServer

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel, Field

from .process import PATIENCE_SECONDS, free_port


class Confirmation(BaseModel):
    sure: bool


def ask() -> Elicit[Confirmation]:
    return Elicit("Are you sure?", Confirmation)


class CountingUpstream:
    """Tools: `echo` answers at once, `slow` waits until its caller goes away, `confirm` asks first, `regional` mirrors a parameter."""

    def __init__(self, port: int | None = None, echo: str = "Answers with the message it was given."):
        """`echo` is how that tool describes itself; `port` puts the server where another one was."""
        self.calls: list[tuple[str, dict]] = []
        self.waiting = 0
        self.cancelled = 0
        self.headers_seen: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self.port = port or free_port()
        self._echo = echo
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        server = uvicorn.Config(self._recording(self._server().streamable_http_app()), host="127.0.0.1", port=self.port, log_level="error")
        self._uvicorn = uvicorn.Server(server)
        self._thread = threading.Thread(target=self._uvicorn.run, daemon=True)

    def _recording(self, app):
        async def recording(scope, receive, send):
            if scope["type"] == "http":
                self.headers_seen.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
            await app(scope, receive, send)

        return recording

    def _server(self) -> MCPServer:
        server = MCPServer("counting-upstream", log_level="ERROR")

        @server.tool(description=self._echo)
        def echo(message: str = "") -> str:
            with self._lock:
                self.calls.append(("echo", {"message": message}))
            return f"echo: {message}"

        @server.tool(description="Waits for a minute, or until nobody wants the answer any more.")
        async def slow() -> str:
            with self._lock:
                self.calls.append(("slow", {}))
                self.waiting += 1
            try:
                await asyncio.sleep(60)
                return "waited"
            except asyncio.CancelledError:
                with self._lock:
                    self.cancelled += 1
                raise
            finally:
                with self._lock:
                    self.waiting -= 1

        @server.tool(description="Says where it is; the region stands in a header, too.")
        def regional(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
            with self._lock:
                self.calls.append(("regional", {"region": region}))
            return region

        @server.tool(description="Tells of its progress, in the words it was given.")
        async def walk(ctx: Context, own: str) -> str:
            for step in (1, 2, 3):
                await ctx.report_progress(step, 3, f"{own} {step}")
                await asyncio.sleep(random.random() / 200)
            return own

        @server.tool(description="Asks the person before it does anything.")
        def confirm(answer: Annotated[Confirmation, Resolve(ask)]) -> str:
            with self._lock:
                self.calls.append(("confirm", {}))
            return "confirmed" if answer.sure else "left alone"

        return server

    def start(self):
        self._thread.start()
        waited = threading.Event()
        for _ in range(PATIENCE_SECONDS * 10):
            if self._uvicorn.started:
                return self
            waited.wait(0.1)
        raise AssertionError("the counting upstream does not start")

    def stop(self):
        self._uvicorn.force_exit = True
        self._uvicorn.should_exit = True
        self._thread.join(timeout=10)
