"""Real MCP clients behind one small interface: connect, do a few operations, give back plain JSON.

A client is asked for what a user's program would ask: the list of tools, and calls. Results are
compared as the client itself gives them, so that a client's own reading of a result is part of the test.
"""

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx2
from mcp import Client as PythonSdk
from mcp import StdioServerParameters
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

from .person import Person
from .process import ROOT, free_port, node, npm_bin

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
    async with PythonSdk(target, mode=mode, read_timeout_seconds=60) as client:
        return await ask(client, operations)


async def ask(client: PythonSdk, operations: list[dict]) -> list[dict]:
    results = []
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


def typescript_client(job: dict) -> list[str]:
    return [node(), str(ROOT / "e2e" / "clients" / "mcp-client.mjs"), json.dumps(job)]


class TypeScriptClient(Client):
    """`@modelcontextprotocol/client` 2.x, or the older `@modelcontextprotocol/sdk` 1.x."""

    def run(self, url, headers, operations):
        package, _, _ = self.name.partition(" ")
        job = {
            "sdk": {"ts-client": "client", "ts-sdk": "sdk"}[package], "mode": self.mode,
            "url": url, "headers": headers, "operations": operations,
        }
        done = subprocess.run(typescript_client(job), capture_output=True, text=True, timeout=120)
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


class Memory:
    """What the Python SDK keeps of a sign-in."""

    def __init__(self):
        self.tokens = None
        self.client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


@dataclass(frozen=True)
class PythonSignIn:
    """The Python SDK with its own OAuth: it is given the URL alone."""

    name: str
    mode: str = "auto"

    @asynccontextmanager
    async def connect(self, url: str, person: Person, decision: str = "allow"):
        redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
        storage = Memory()
        said: dict[str, str] = {}

        async def open_browser(link: str):
            said.clear()
            said.update(await asyncio.to_thread(person.answer, link, redirect_uri, decision))

        async def wait_for_browser() -> AuthorizationCodeResult:
            if "error" in said:
                raise Refused(said["error"])
            return AuthorizationCodeResult(code=said["code"], state=said["state"], iss=said["iss"])

        metadata = OAuthClientMetadata(client_name=self.name, redirect_uris=[redirect_uri])
        provider = OAuthClientProvider(url, metadata, storage, open_browser, wait_for_browser)
        async with httpx2.AsyncClient(auth=provider, timeout=60, trust_env=False) as http:
            async with PythonSdk(streamable_http_client(url, http_client=http), mode=self.mode) as client:
                yield client, storage

    def run(self, url: str, person: Person, operations: list[dict], decision: str = "allow") -> tuple[list[dict], str]:
        """What the operations gave, and the access token that they ran with."""

        async def main():
            async with self.connect(url, person, decision) as (client, storage):
                return await ask(client, operations), storage.tokens.access_token

        try:
            return asyncio.run(main())
        except Exception as error:
            raise Refused(str(root_cause(error))) from error


@dataclass(frozen=True)
class TypeScriptSignIn:
    """The same with an official TypeScript client: `client` is 2.x, `sdk` 1.x."""

    name: str
    sdk: str
    mode: str = "auto"

    def run(self, url: str, person: Person, operations: list[dict], decision: str = "allow") -> tuple[list[dict], str]:
        redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
        job = {
            "sdk": self.sdk, "mode": self.mode, "url": url, "operations": operations,
            "signIn": {"name": self.name, "redirectUri": redirect_uri},
        }
        with subprocess.Popen(
            typescript_client(job), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as child:
            try:
                asked = child.stdout.readline()
                ended = None
                if asked:
                    said = person.answer(json.loads(asked)["browse"], redirect_uri, decision)
                    ended = f"{redirect_uri}?{urlencode(said)}\n"
                output, errors = child.communicate(ended, timeout=120)
            finally:
                child.kill()
        if child.returncode != 0:
            raise Refused(errors.strip())
        answer = json.loads(output)
        return answer["results"], answer["accessToken"]


SIGNING_IN = [
    PythonSignIn("Python agent"),
    PythonSignIn("Python agent of 2025", "legacy"),
    TypeScriptSignIn("TypeScript agent", "client"),
    TypeScriptSignIn("TypeScript agent of 2025", "client", "legacy"),
    TypeScriptSignIn("TypeScript agent of version 1", "sdk"),
]
