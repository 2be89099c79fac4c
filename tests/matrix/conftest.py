"""The same server four times, each reached another way, each a connection that is exposed directly."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.process import Process, free_port
from harness.product import Switchboard

SERVER = Path(__file__).with_name("whole_server.py")
UPSTREAMS = {"old": "/mcp", "new": "/mcp", "sse": "/sse", "stdio": None}


@dataclass(frozen=True)
class Endpoint:
    url: str
    prefix: str = ""
    scheme: str = ""


@pytest.fixture(scope="session")
def matrix(tmp_path_factory):
    """Endpoints by upstream, and the headers that open them."""
    directory = tmp_path_factory.mktemp("matrix")
    stdio = [{"slug": "stdio", "command": sys.executable, "args": [str(SERVER), "stdio"]}]
    switchboard = Switchboard(directory, stdio=stdio).start()
    servers = []
    try:
        for kind, path in UPSTREAMS.items():
            if path is None:
                connection = switchboard.connection(kind)
                switchboard.grant(connection)
                switchboard.wait_for(connection["id"])
                # What the operator's file names is shown one to one by a toolkit, with names of its own.
                toolkit = {"slug": kind, "name": kind, "surface": "direct", "patterns": [f"{kind}.*"]}
                switchboard.api("POST", "/toolkits", toolkit)
                continue
            port = free_port()
            server = Process([sys.executable, str(SERVER), kind, str(port)], directory / f"{kind}.log", env=dict(os.environ))
            servers.append(server)
            server.wait_for_port(port)
            transport = "sse" if kind == "sse" else "streamable_http"
            switchboard.connect(kind, f"http://127.0.0.1:{port}{path}", transport, expose_directly=True)
        endpoints = {kind: Endpoint(f"{switchboard.mcp_url}/connections/{kind}") for kind in UPSTREAMS}
        endpoints["stdio"] = Endpoint(f"{switchboard.mcp_url}/toolkits/stdio", "stdio__", "stdio+")
        yield endpoints, switchboard.bearer()
    finally:
        switchboard.stop()
        for server in servers:
            server.stop()
