"""A well-behaved MCP server inside the test process, which counts what reaches it."""

import asyncio
import threading

import uvicorn
from mcp.server import MCPServer

from .process import PATIENCE_SECONDS, free_port


class CountingUpstream:
    """Tools: `echo` answers at once, `slow` waits until its caller goes away."""

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
