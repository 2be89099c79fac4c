"""Real MCP clients behind one small interface: connect, do a few operations, give back plain JSON.

A client is asked for what a user's program would ask: the list of tools, and calls. Results are
compared as the client itself gives them, so that a client's own reading of a result is part of the test.
"""

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from mcp import Client as PythonSdk
from mcp import StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from .process import ROOT, node, npm_bin

LIST = {"list": True}


def call(name: str, arguments: dict | None = None) -> dict:
    return {"call": name, "arguments": arguments or {}}


class Refused(Exception):
    """The client could not connect, or an operation ended in an error instead of a result."""


def outcome(result: dict) -> dict:
    """What a tool answered: the parts of a result that Switchboard has to pass on unchanged."""
    return {
        "content": result.get("content", []),
        "structuredContent": result.get("structuredContent"),
        "isError": result.get("isError", False),
    }


def text_of(result: dict) -> str:
    return "\n".join(block.get("text", "") for block in result["content"])


@dataclass(frozen=True)
class Client:
    name: str
    mode: str = "auto"

    def run(self, url: str, headers: dict[str, str], operations: list[dict]) -> list[dict]:
        raise NotImplementedError


def plain(model) -> dict:
    """As it was on the wire: what the server left out stays out, what it set to null stays null."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def root_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def with_python_sdk(target, mode: str, operations: list[dict]) -> list[dict]:
    results = []
    async with PythonSdk(target, mode=mode, read_timeout_seconds=60) as client:
        for operation in operations:
            if "list" in operation:
                results.append(plain(await client.list_tools()))
            else:
                results.append(plain(await client.call_tool(operation["call"], operation["arguments"])))
    return results


class PythonClient(Client):
    def run(self, url, headers, operations):
        async def main():
            async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
                return await with_python_sdk(streamable_http_client(url, http_client=http), self.mode, operations)

        try:
            return asyncio.run(main())
        except Exception as error:
            raise Refused(str(root_cause(error))) from error


class TypeScriptClient(Client):
    """`@modelcontextprotocol/client` 2.x, or the older `@modelcontextprotocol/sdk` 1.x."""

    def run(self, url, headers, operations):
        package, _, _ = self.name.partition(" ")
        job = {
            "sdk": {"ts-client": "client", "ts-sdk": "sdk"}[package], "mode": self.mode,
            "url": url, "headers": headers, "operations": operations,
        }
        done = subprocess.run(
            [node(), str(ROOT / "e2e" / "clients" / "mcp-client.mjs"), json.dumps(job)],
            capture_output=True, text=True, timeout=120,
        )
        if done.returncode != 0:
            raise Refused(done.stderr.strip())
        return json.loads(done.stdout)["results"]


class Inspector(Client):
    """The MCP Inspector's command line: one process an operation."""

    def run(self, url, headers, operations):
        return [self._operation(url, headers, operation) for operation in operations]

    def _operation(self, url, headers, operation):
        method = (
            ["--method", "tools/list"]
            if "list" in operation
            else ["--method", "tools/call", "--tool-name", operation["call"],
                  "--tool-args-json", json.dumps(operation["arguments"])]
        )
        command = [
            *npm_bin("mcp-inspector"), "--cli", "-q", "--format", "json", "--protocol-era", self.mode,
            "--transport", "http", *method, "--server-url", url,
        ]
        for name, value in headers.items():
            command += ["--header", f"{name}: {value}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        try:
            return json.loads(done.stdout)["result"]
        except (json.JSONDecodeError, KeyError):
            raise Refused(f"exit {done.returncode}: {done.stdout}{done.stderr}") from None


CLIENTS = [
    PythonClient("python auto", "auto"),
    PythonClient("python legacy", "legacy"),
    PythonClient("python 2026-07-28", "2026-07-28"),
    TypeScriptClient("ts-client legacy", "legacy"),
    TypeScriptClient("ts-client auto", "auto"),
    TypeScriptClient("ts-client 2026-07-28", "2026-07-28"),
    TypeScriptClient("ts-sdk", "legacy"),
    Inspector("inspector legacy", "legacy"),
    Inspector("inspector modern", "modern"),
]


@asynccontextmanager
async def _streamable(url, headers):
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        async with streamable_http_client(url, http_client=http) as streams:
            yield streams


def ask_directly(running, operations: list[dict], mode: str = "auto") -> list[dict]:
    """What a server says without Switchboard in between, over its own transport."""
    if running.command:
        target = StdioServerParameters(command=running.command[0], args=running.command[1:], env=running.env or None)
    elif running.server.transport == "sse":
        target = sse_client(running.url, headers=running.headers)
        mode = "legacy"
    else:
        target = _streamable(running.url, running.headers)
    try:
        return asyncio.run(with_python_sdk(target, mode, operations))
    except Exception as error:
        raise Refused(str(root_cause(error))) from error
