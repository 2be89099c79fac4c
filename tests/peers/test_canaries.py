"""After all that is done with secrets, none is in a table, a log line, a metric or a trace, in any spelling."""

import base64
import http.server
import json
import secrets
import subprocess
import threading
import time
from pathlib import Path

import httpx2
import pytest
from harness.canaries import spellings, where
from harness.process import NODE_MODULES, free_port
from harness.product import Switchboard, postgres_database
from harness.upstream import CountingUpstream
from test_connect import Protected, sign_in

pytestmark = pytest.mark.skipif(
    not (NODE_MODULES / "oidc-provider").exists(), reason="oidc-provider is not among the npm packages of e2e/"
)


class Collector:
    """Takes traces (OTLP over HTTP) and keeps the bytes."""

    def __init__(self):
        self.received: list[bytes] = []
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                received.append(self.rfile.read(int(self.headers.get("content-length", 0))))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()


def tables(switchboard: Switchboard, database_url: str | None) -> dict[str, bytes]:
    """Every byte that the database keeps."""
    if database_url is None:
        return {path.name: path.read_bytes() for path in switchboard.data.iterdir() if path.is_file()}
    program = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))[-1]
    return {"pg_dump": subprocess.run([str(program), database_url], check=True, capture_output=True).stdout}


def use_everything(switchboard: Switchboard, protected: Protected, plain: CountingUpstream, given: list[str]):
    """Keys, headers, clients, tokens: stored, used, renewed, refused, replaced, taken back."""
    key, header, client = given
    keyed = switchboard.connect("keyed", plain.url, auth_type="api_key", api_key={"value": key})
    headed = switchboard.connect("headed", plain.url, auth_type="headers", headers={"X-Own": header})
    for connection in (keyed, headed):
        switchboard.api("POST", f"/connections/{connection['id']}/tools/echo/call", {"arguments": {"message": "x"}})
    made = switchboard.api("POST", "/connections", {
        "slug": "machine", "url": protected.url, "auth_type": "client_credentials",
        "client_credentials": {"client_id": "nobody", "client_secret": client},
    })
    switchboard.wait_for(made["id"], "reauth_required")
    vendor = switchboard.api("POST", "/connections", {"slug": "vendor", "url": protected.url, "auth_type": "oauth"})
    switchboard.grant(vendor)
    for _ in range(2):
        started = switchboard.api("POST", f"/connections/{vendor['id']}/authorize", expect=201)
        end = sign_in(switchboard, started["authorization_url"], "jo")
        became = switchboard.api("GET", f"/authorizations/{started['state_id']}")
        assert became["status"] == "connected", (became, end.text)
        call = f"/connections/{vendor['id']}/tools/echo/call"
        switchboard.api("POST", call, {"arguments": {"message": "fresh"}})
        # Its token is over: the next call renews it.
        time.sleep(3.2)
        switchboard.api("POST", call, {"arguments": {"message": "renewed"}})
        switchboard.api("DELETE", f"/connections/{vendor['id']}/credential")
    switchboard.api("DELETE", f"/connections/{headed['id']}")
    switchboard.api("GET", "/audit?limit=200")


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_secret_is_where_it_must_not_be(servers, tmp_path, database):
    given = [f"canary/{secrets.token_urlsafe(18)}+x" for _ in range(3)]
    url = postgres_database("canaries") if database == "postgres" else None
    collector, plain = Collector(), CountingUpstream().start()
    issued = tmp_path / "issued"
    protected = Protected(tmp_path, servers["everything"].url, TOKEN_LIFE="3", ISSUED=str(issued))
    switchboard = Switchboard(tmp_path, database_url=url)
    settings = {"LOG": "trace", "OTLP_ENDPOINT": collector.url, "METRICS_TOKEN": "for-the-tests-alone"}
    switchboard.environment |= {f"SWITCHBOARD_{name}": value for name, value in settings.items()}
    switchboard.start()
    try:
        use_everything(switchboard, protected, plain, given)
        metrics = httpx2.get(
            f"{switchboard.url}/metrics", headers={"Authorization": "Bearer for-the-tests-alone"}, trust_env=False,
        )
        assert metrics.status_code == 200
    finally:
        switchboard.stop()
        protected.process.stop()
        plain.stop()
        collector.stop()
    tokens = issued.read_text().split()
    assert len(tokens) >= 8, "issued, renewed, and issued again"
    password = (tmp_path / "owner-password").read_text()
    places = tables(switchboard, url) | {
        "log": (tmp_path / "switchboard.log").read_bytes(), "metrics": metrics.content,
        "traces": b"".join(collector.received),
    }
    assert all(places.values()), {name: len(content) for name, content in places.items()}
    assert b"capability.execute" in b"".join(places.values()), "what is looked through is what was kept"
    found = where([*given, *tokens, password, switchboard.token], places)
    assert found == [], json.dumps(found, indent=1)


def test_the_search_finds_every_spelling():
    secret = "canary/of+tests-0123456789"
    for spelling in spellings(secret):
        assert where([secret], {"place": b"xx" + spelling + b"yy"}) != []
    for before in range(4):
        whole = base64.urlsafe_b64encode(b"Bearer "[:before] + secret.encode() + b" and more")
        assert where([secret], {"place": whole}) != [], before
