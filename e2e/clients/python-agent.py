"""The official Python client, driven from outside as `mcp-client.mjs` is: given a URL, it prints {"browse": URL}, reads where
the browser ended, says {"ready": true} and takes an operation a line."""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from harness.clients import PythonSignIn, ask, root_cause  # noqa: E402


def say(line: dict):
    print(json.dumps(line), flush=True)


class Outside:
    """The person is somebody else's: a link goes out, an address comes back."""

    def answer(self, link: str, redirect_uri: str, decision: str) -> dict[str, str]:
        say({"browse": link})
        return dict(parse_qsl(urlsplit(sys.stdin.readline().strip()).query))


async def main(name: str, mode: str, url: str):
    async with PythonSignIn(name, mode).connect(url, Outside()) as (client, _):
        say({"ready": True})
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                say({"result": (await ask(client, [json.loads(line)]))[0]})
            except Exception as error:
                say({"refused": str(root_cause(error))})


asyncio.run(main(*sys.argv[1:]))
