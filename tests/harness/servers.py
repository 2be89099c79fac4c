"""Real MCP servers from npm and PyPI, each with one tool that answers offline and what finds it.

`call` is a call whose result is the same every time, so that what comes through Switchboard can be
compared with what the server says itself.
"""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .process import Process, free_port, npm_bin, venv_bin


@dataclass(frozen=True)
class Server:
    slug: str
    transport: str  # streamable_http, sse or stdio
    tools: int  # how many it lists
    query: str  # what a person would ask for …
    tool: str  # … and the tool that answers
    arguments: dict = field(default_factory=dict)
    calls_offline: bool = True
    bearer: str | None = None
    modern: bool = False  # speaks 2026-07-28 too


SERVERS = {
    server.slug: server
    for server in (
        Server("everything", "streamable_http", 13, "add two numbers", "get-sum", {"a": 2, "b": 40}),
        Server("everything-sse", "sse", 13, "echo a message back", "echo", {"message": "over SSE"}),
        Server("everything-stdio", "stdio", 13, "echo a message back", "echo", {"message": "over a pipe"}),
        Server(
            "markitdown", "streamable_http", 1, "convert a document to markdown", "convert_to_markdown",
            {"uri": "data:text/html;base64,PGgxPkhlbGxvPC9oMT48cD5Xb3JsZDwvcD4="}, modern=True,
        ),
        Server("context7", "streamable_http", 2, "documentation of a library", "query-docs", calls_offline=False, modern=True),
        Server(
            "notion", "streamable_http", 24, "search pages in notion", "API-post-search",
            calls_offline=False, bearer="a-key-the-operator-chose",
        ),
        Server("chart", "streamable_http", 27, "draw a pie chart", "generate_pie_chart", calls_offline=False),
        Server("playwright", "streamable_http", 25, "take a screenshot of a web page", "browser_take_screenshot", calls_offline=False),
        Server("filesystem", "stdio", 14, "list the files in a directory", "list_directory"),
        Server("memory", "stdio", 9, "read the whole knowledge graph", "read_graph"),
        Server(
            "time", "stdio", 2, "convert a time between time zones", "convert_time",
            {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, modern=True,
        ),
        Server("git", "stdio", 12, "show the commit log of a repository", "git_log", modern=True),
    )
}


class Running:
    """A server that can be reached: by `url` and `headers`, or by `command` and `env`."""

    def __init__(self, server: Server, directory: Path):
        self.server = server
        self.directory = directory
        self.url: str | None = None
        self.headers: dict[str, str] = {}
        self.command: list[str] = []
        self.env: dict[str, str] = {}
        self.arguments = dict(server.arguments)
        self.process: Process | None = None
        getattr(self, f"_prepare_{server.slug.replace('-', '_')}")()

    def stop(self):
        if self.process:
            self.process.stop()

    def _listen(self, command, path="/mcp", env=None, port_env=None, port_args=(), host="127.0.0.1"):
        port = free_port()
        arguments = [part.format(port=port) for part in port_args]
        env = os.environ | (env or {}) | ({port_env: str(port)} if port_env else {})
        self.process = Process([*command, *arguments], self.directory / f"{self.server.slug}.log", env=env)
        self.process.wait_for_port(port)
        self.url = f"http://{host}:{port}{path}"

    def _prepare_everything(self):
        self._listen([*npm_bin("mcp-server-everything"), "streamableHttp"], port_env="PORT")

    def _prepare_everything_sse(self):
        self._listen([*npm_bin("mcp-server-everything"), "sse"], path="/sse", port_env="PORT")

    def _prepare_everything_stdio(self):
        self.command = [*npm_bin("mcp-server-everything"), "stdio"]

    def _prepare_markitdown(self):
        self._listen([*venv_bin("markitdown-mcp"), "--http", "--host", "127.0.0.1"], port_args=("--port", "{port}"))

    def _prepare_context7(self):
        self._listen([*npm_bin("context7-mcp"), "--transport", "http"], port_args=("--port", "{port}"))

    def _prepare_notion(self):
        token = self.server.bearer
        self._listen(
            [*npm_bin("notion-mcp-server"), "--transport", "http", "--auth-token", token],
            port_args=("--port", "{port}"), env={"NOTION_TOKEN": "unused"},
        )
        self.headers = {"Authorization": f"Bearer {token}"}

    def _prepare_chart(self):
        self._listen([*npm_bin("mcp-server-chart"), "--transport", "streamable"], port_args=("--port", "{port}"))

    def _prepare_playwright(self):
        # It checks the Host header: only `localhost` will do.
        self._listen(
            [*npm_bin("playwright-mcp"), "--headless", "--host", "127.0.0.1"],
            port_args=("--port", "{port}"), host="localhost",
        )

    def _prepare_filesystem(self):
        shelf = self.directory / "shelf"
        shelf.mkdir(exist_ok=True)
        (shelf / "notes.txt").write_text("one\n")
        self.command = [*npm_bin("mcp-server-filesystem"), str(shelf)]
        self.arguments = {"path": str(shelf)}

    def _prepare_memory(self):
        file = self.directory / "memory.jsonl"
        entity = {"type": "entity", "name": "Switchboard", "entityType": "project", "observations": ["routes calls"]}
        file.write_text(json.dumps(entity) + "\n")
        self.command = npm_bin("mcp-server-memory")
        self.env = {"MEMORY_FILE_PATH": str(file)}

    def _prepare_time(self):
        self.command = [*venv_bin("mcp-server-time"), "--local-timezone", "UTC"]

    def _prepare_git(self):
        repository = self.directory / "repository"
        if not repository.exists():
            identity = ["-c", "user.name=Peer", "-c", "user.email=peer@example.com"]
            subprocess.run(["git", "init", "-q", str(repository)], check=True)
            subprocess.run(
                ["git", *identity, "commit", "-q", "--allow-empty", "-m", "First commit"], cwd=repository, check=True,
            )
        self.command = [*venv_bin("mcp-server-git"), "--repository", str(repository)]
        self.arguments = {"repo_path": str(repository)}
