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
from cryptography.hazmat.primitives.asymmetric import ed25519
from harness.canaries import spellings, where
from harness.identity_provider import IdentityProvider
from harness.person import Employee
from harness.process import NODE_MODULES, free_port
from harness.product import Switchboard, postgres_database
from harness.upstream import CountingUpstream
from test_connect import Protected, sign_in

pytestmark = pytest.mark.skipif(
    not (NODE_MODULES / "oidc-provider").exists(), reason="oidc-provider is not among the npm packages of e2e/"
)


PEOPLE = {"mia": {"email": "mia@example.com", "email_verified": True, "name": "Mia Lund"}}


class Collector:
    """Takes traces (OTLP over HTTP) and what webhooks tell, and keeps the bytes."""

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


def use_own_accounts(switchboard: Switchboard, plain: CountingUpstream, given: list[str]):
    """A member's own key and header, and a connection of their own: stored, used, replaced, taken back."""
    first, second, header, personal = given
    keyed = switchboard.api("POST", "/connections", {
        "slug": "own-key", "url": plain.url, "auth_type": "api_key", "credential_mode": "per_member",
    })
    headed = switchboard.api("POST", "/connections", {
        "slug": "own-header", "url": plain.url, "auth_type": "headers", "credential_mode": "per_member",
        "member_headers": [{"name": "X-Own", "description": "yours"}],
    })
    switchboard.api("PATCH", "/organization", {"settings": {"personal_connections": True}})
    mine = switchboard.api("POST", "/connections", {
        "slug": "mine", "url": plain.url, "auth_type": "api_key", "owner": "member", "api_key": {"value": personal},
    })
    secrets_of = ((keyed, {"api_key": first}), (keyed, {"api_key": second}), (headed, {"headers": {"X-Own": header}}), (mine, None))
    for connection, secret in secrets_of:
        path = f"/connections/{connection['id']}"
        if connection is not mine:
            switchboard.grant(connection)
            switchboard.api("PUT", f"{path}/credential", secret)
        switchboard.wait_for(connection["id"], "connected")
        switchboard.api("POST", f"{path}/tools/echo/call", {"arguments": {"message": "x"}})
    switchboard.api("DELETE", f"/connections/{keyed['id']}/credential")


def use_keys(switchboard: Switchboard, protected: Protected, key: dict):
    """A private key that somebody brought, and one that was made here: used, and refused by a provider that knows neither."""
    for name, proof in (("brought", {"private_key": json.dumps(key)}), ("made", {"token_endpoint_auth_method": "private_key_jwt"})):
        made = switchboard.api("POST", "/connections", {
            "slug": name, "url": protected.url, "auth_type": "client_credentials", "client_credentials": {"client_id": "nobody"} | proof,
        })
        switchboard.wait_for(made["id"], "reauth_required")


def use_sign_ins(switchboard: Switchboard, company: IdentityProvider, plain: CountingUpstream):
    """Somebody signs in with the company's provider, and a server is called with that."""
    switchboard.api("POST", "/identity-providers", company.settings(verified_domains=["example.com"]))
    made = switchboard.api("POST", "/connections", {"slug": "directory", "url": plain.url, "auth_type": "user_oidc"})
    switchboard.grant(made)
    page = Employee("mia", f"/sign-in/with/{company.path}").open(f"{switchboard.url}/sign-in")
    assert page.status_code == 200 and page.url.path == "/", page.text
    # The owner came in with a password, and is told so; for mia it works, and its tools were listed as her.
    deadline = time.monotonic() + 60
    while not switchboard.api("GET", f"/connections/{made['id']}")["tools_count"]:
        assert time.monotonic() < deadline, "nobody's sign-in was used"
        time.sleep(0.2)
    mia = next(it for it in switchboard.api("GET", "/members")["items"] if it["email"] == PEOPLE["mia"]["email"])
    switchboard.api("PATCH", f"/members/{mia['id']}", {"status": "suspended"})


def new_private_key() -> dict:
    """A JSON Web Key of Ed25519; what is secret of it is `d`."""
    key = ed25519.Ed25519PrivateKey.generate()
    encode = lambda part: base64.urlsafe_b64encode(part).decode().rstrip("=")  # noqa: E731
    return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().public_bytes_raw()), "d": encode(key.private_bytes_raw())}


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
    given = [f"canary/{secrets.token_urlsafe(18)}+x" for _ in range(7)]
    key = new_private_key()
    url = postgres_database("canaries") if database == "postgres" else None
    collector, plain = Collector(), CountingUpstream().start()
    issued = tmp_path / "issued"
    protected = Protected(tmp_path, servers["everything"].url, TOKEN_LIFE="3", ISSUED=str(issued))
    switchboard = Switchboard(tmp_path, database_url=url)
    settings = {"LOG": "trace", "OTLP_ENDPOINT": collector.url, "METRICS_TOKEN": "for-the-tests-alone"}
    switchboard.environment |= {f"SWITCHBOARD_{name}": value for name, value in settings.items()}
    switchboard.start()
    company = IdentityProvider(tmp_path, switchboard, PEOPLE, ISSUED=str(issued))
    try:
        webhook = switchboard.api("POST", "/webhooks", {
            "name": "ours", "url": f"{collector.url}/hook", "events": ["audit.entries"],
        })
        use_everything(switchboard, protected, plain, given[:3])
        use_own_accounts(switchboard, plain, given[3:])
        use_keys(switchboard, protected, key)
        use_sign_ins(switchboard, company, plain)
        metrics = httpx2.get(
            f"{switchboard.url}/metrics", headers={"Authorization": "Bearer for-the-tests-alone"}, trust_env=False,
        )
        assert metrics.status_code == 200
    finally:
        switchboard.stop()
        protected.process.stop()
        company.stop()
        plain.stop()
        collector.stop()
    tokens = issued.read_text().split()
    assert len(tokens) >= 11, "issued, renewed, and issued again, and those of who signed in"
    made = [webhook["secret"], key["d"], base64.urlsafe_b64decode(key["d"] + "=").hex(), company.client_secret]
    password = (tmp_path / "owner-password").read_text()
    places = tables(switchboard, url) | {
        "log": (tmp_path / "switchboard.log").read_bytes(), "metrics": metrics.content,
        "traces": b"".join(collector.received),
    }
    assert all(places.values()), {name: len(content) for name, content in places.items()}
    assert b"capability.execute" in b"".join(places.values()), "what is looked through is what was kept"
    found = where([*given, *made, *tokens, password, switchboard.token], places)
    assert found == [], json.dumps(found, indent=1)


def test_the_search_finds_every_spelling():
    secret = "canary/of+tests-0123456789"
    for spelling in spellings(secret):
        assert where([secret], {"place": b"xx" + spelling + b"yy"}) != []
    for before in range(4):
        whole = base64.urlsafe_b64encode(b"Bearer "[:before] + secret.encode() + b" and more")
        assert where([secret], {"place": whole}) != [], before
