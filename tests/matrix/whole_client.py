"""One client of the official Python SDK, driven through every feature; each says what it saw, or what went wrong."""

import asyncio

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageResult, ElicitResult, TextContent

PATIENCE = 20


class Driver:
    def __init__(self, url: str, headers: dict[str, str], mode: str, prefix: str = "", scheme: str = ""):
        """On a toolkit names begin with `prefix` and URIs with `scheme`."""
        self.url, self.headers, self.mode, self.prefix, self.scheme = url, headers, mode, prefix, scheme
        self.prompts_changed = asyncio.Event()

    async def elicit(self, context, params):
        return ElicitResult(action="accept", content={"colour": "green"})

    async def sample(self, context, params):
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="Paris"), model="none")

    async def message(self, message):
        if "PromptListChanged" in type(getattr(message, "root", message)).__name__:
            self.prompts_changed.set()

    def client(self, http):
        return Client(
            streamable_http_client(self.url, http_client=http), mode=self.mode, read_timeout_seconds=PATIENCE,
            elicitation_callback=self.elicit, sampling_callback=self.sample, message_handler=self.message,
        )

    async def run(self, features: list[str]) -> dict[str, str]:
        seen = {}
        for feature in features:
            try:
                async with httpx2.AsyncClient(headers=self.headers, timeout=60, trust_env=False) as http:
                    async with asyncio.timeout(PATIENCE), self.client(http) as client:
                        seen[feature] = await getattr(self, feature)(client)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is what this feature shows
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                seen[feature] = f"{type(error).__name__}: {error}"[:200]
        return seen

    async def tools(self, client):
        names = {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool(f"{self.prefix}add", {"a": 2, "b": 40})
        return "ok" if f"{self.prefix}add" in names and "42" in result.content[0].text else f"{names} {result}"

    async def resources(self, client):
        listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
        templates = (await client.list_resource_templates()).resource_templates
        note = (await client.read_resource(f"{self.scheme}matrix://note")).contents[0].text
        item = (await client.read_resource(f"{self.scheme}matrix://item/7")).contents[0].text
        expected = (listed, len(templates), note, item) == ({f"{self.scheme}matrix://note"}, 1, "the note", "item 7")
        return "ok" if expected else f"{listed} {templates} {note} {item}"

    async def prompts(self, client):
        names = {prompt.name for prompt in (await client.list_prompts()).prompts}
        got = await client.get_prompt(f"{self.prefix}greet", {"name": "Ada"})
        text = got.messages[0].content.text
        return "ok" if f"{self.prefix}greet" in names and text == "Say hello to Ada." else f"{names} {text}"

    async def progress(self, client):
        told = []

        async def heard(progress, total, message):
            told.append(progress)

        await client.call_tool(f"{self.prefix}walk", {}, progress_callback=heard)
        return "ok" if told == [1, 2, 3] else f"told {told}"

    async def cancellation(self, client):
        count = lambda result: int(result.content[0].text)  # noqa: E731
        before = count(await client.call_tool(f"{self.prefix}count_cancelled", {}))
        waiting = asyncio.create_task(client.call_tool(f"{self.prefix}wait", {}))
        await asyncio.sleep(1)
        waiting.cancel()
        for _ in range(50):
            await asyncio.sleep(0.2)
            if count(await client.call_tool(f"{self.prefix}count_cancelled", {})) > before:
                return "ok"
        return "the server still works on it"

    async def elicitation(self, client):
        text = (await client.call_tool(f"{self.prefix}ask_person", {})).content[0].text
        return "ok" if text == "they like green" else text

    async def sampling(self, client):
        text = (await client.call_tool(f"{self.prefix}ask_model", {})).content[0].text
        return "ok" if text == "it says Paris" else text

    async def list_changed(self, client):
        if client.session.protocol_version >= "2026-07-28":
            async with client.listen(prompts_list_changed=True) as events:
                await asyncio.sleep(0.5)
                await client.call_tool(f"{self.prefix}change", {})
                async for _ in events:
                    return "ok"
        await asyncio.sleep(0.5)
        await client.call_tool(f"{self.prefix}change", {})
        await asyncio.wait_for(self.prompts_changed.wait(), 10)
        return "ok"


FEATURES = ["tools", "resources", "prompts", "progress", "cancellation", "elicitation", "sampling", "list_changed"]

if __name__ == "__main__":
    import json
    import sys

    job = json.loads(sys.argv[1])
    driver = Driver(job["url"], job["headers"], job["mode"], job["prefix"], job["scheme"])
    print(json.dumps(asyncio.run(driver.run(job["features"]))))
