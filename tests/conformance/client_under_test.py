"""Switchboard as the client of a scenario: `client_under_test.py URL` connects it to the suite's server and uses what that offers.

The suite says the scenario and the revision in its environment.
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx2  # noqa: E402
from harness.product import Switchboard  # noqa: E402
from mcp import Client  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from mcp_types import CreateMessageResult, ElicitResult, TextContent  # noqa: E402

MODERN = "2026-07-28"
SAMPLES = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None}


async def elicit(context, params):
    properties = params.requested_schema.get("properties", {})
    return ElicitResult(action="accept", content={name: schema["default"] for name, schema in properties.items() if "default" in schema})


async def sample(context, params):
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="text"), model="none")


def arguments_for(schema: dict) -> dict:
    properties = schema.get("properties", {})
    return {name: SAMPLES[properties.get(name, {}).get("type", "string")] for name in schema.get("required", [])}


async def use(url: str, headers: dict, context: dict):
    mode = MODERN if os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", MODERN) >= MODERN else "legacy"
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        client = Client(
            streamable_http_client(url, http_client=http), mode=mode, read_timeout_seconds=20,
            elicitation_callback=elicit, sampling_callback=sample,
        )
        async with client:
            tools = (await client.list_tools()).tools
            wanted = context.get("toolCalls") or [{"name": tool.name, "arguments": arguments_for(tool.input_schema)} for tool in tools]
            for call in wanted:
                await attempt(client.call_tool(call["name"], call.get("arguments", {})))
            for listed, one in ((client.list_prompts, "prompts"), (client.list_resources, "resources")):
                for item in getattr(await attempt(listed()), one, []):
                    await attempt(client.get_prompt(item.name, {}) if one == "prompts" else client.read_resource(item.uri))


async def attempt(work):
    """What a scenario's server does not offer is nothing to stop for."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001
        print(f"refused: {error}", file=sys.stderr)
        return None


def main(url: str):
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    with tempfile.TemporaryDirectory() as directory:
        switchboard = Switchboard(Path(directory)).start()
        try:
            switchboard.connect("suite", url, expose_directly=True)
            asyncio.run(use(f"{switchboard.mcp_url}/connections/suite", switchboard.bearer(), context))
        finally:
            switchboard.stop()


if __name__ == "__main__":
    main(sys.argv[1])
