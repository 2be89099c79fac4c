"""Real servers, started once and shared; a server that is not asked for is not started."""

import pytest
from harness.clients import LIST, ask_directly, call, outcome
from harness.product import Switchboard
from harness.servers import SERVERS, Running


class Servers:
    """Starts servers on demand and remembers what each says for itself."""

    def __init__(self, directory):
        self.directory = directory
        self._running = {}
        self._direct = {}

    def __getitem__(self, slug) -> Running:
        if slug not in self._running:
            self._running[slug] = Running(SERVERS[slug], self.directory)
        return self._running[slug]

    def tools(self, slug) -> list[dict]:
        return self._ask(slug)[0]["tools"]

    def answer(self, slug) -> dict:
        """The outcome of the server's one reproducible call, without Switchboard."""
        return outcome(self._ask(slug)[1])

    def _ask(self, slug):
        if slug not in self._direct:
            running = self[slug]
            operations = [LIST]
            if running.server.calls_offline:
                operations.append(call(running.server.tool, running.arguments))
            self._direct[slug] = ask_directly(running, operations)
        return self._direct[slug]

    def stop(self):
        for running in self._running.values():
            running.stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


def connect_everything(switchboard, servers):
    for slug, server in SERVERS.items():
        running = servers[slug]
        if server.transport == "stdio":
            connection = switchboard.connection(slug)
            switchboard.grant(connection)
            switchboard.wait_for(connection["id"])
        elif server.bearer:
            key = {"header": "Authorization", "scheme": "Bearer", "value": server.bearer}
            switchboard.connect(
                slug, running.url, server.transport, auth_type="api_key", credential_mode="shared", api_key=key,
            )
        else:
            switchboard.connect(slug, running.url, server.transport)


def stdio_servers(servers):
    for slug, server in SERVERS.items():
        if server.transport == "stdio":
            running = servers[slug]
            yield {"slug": slug, "command": running.command[0], "args": running.command[1:], "env": running.env}


@pytest.fixture(scope="session")
def switchboard(servers, tmp_path_factory):
    """Switchboard on its embedded database, with every server connected."""
    switchboard = Switchboard(tmp_path_factory.mktemp("switchboard"), stdio=list(stdio_servers(servers))).start()
    try:
        connect_everything(switchboard, servers)
        yield switchboard
    finally:
        switchboard.stop()
