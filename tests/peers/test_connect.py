"""A real MCP server behind a real authorization server is connected from its address, as a person does it."""

import os

import httpx2
import pytest
from harness.person import forms_of
from harness.process import NODE_MODULES, ROOT, Process, free_port, node
from harness.product import OWNER, Switchboard
from urllib.parse import urljoin

pytestmark = pytest.mark.skipif(
    not (NODE_MODULES / "oidc-provider").exists(), reason="oidc-provider is not among the npm packages of e2e/"
)

CONFIGURATIONS = {
    "registers": {},
    "issuer with a path": {"ISSUER_PATH": "/realms/acme"},
    "client made at the provider": {"REGISTRATION": "off"},
}


class Protected:
    def __init__(self, directory, mcp_url: str, **settings: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        env = os.environ | {"PORT": str(self.port), "MCP_URL": mcp_url} | settings
        script = str(ROOT / "e2e" / "protected-server.mjs")
        self.process = Process([node(), script], directory / f"protected-{self.port}.log", env=env)
        self.process.wait_for_port(self.port)


def sign_in(switchboard: Switchboard, link: str, login: str) -> httpx2.Response:
    """Follows the link through Switchboard's sign-in and the provider's pages; where it ends."""
    password = (switchboard.directory / "owner-password").read_text()
    with httpx2.Client(timeout=30, trust_env=False) as browser:
        page = browser.get(link)
        for _ in range(25):
            if page.is_redirect:
                page = browser.get(urljoin(str(page.url), page.headers["location"]))
                continue
            forms = [form for form in forms_of(page) if not form.action.endswith("/abort")]
            if not forms:
                return page
            fields = dict(forms[0].fields)
            if "email" in fields:
                fields |= {"email": OWNER, "password": password}
            elif fields.get("prompt") == "login":
                fields |= {"login": login, "password": "x"}
            page = browser.post(urljoin(str(page.url), forms[0].action), data=fields)
    raise AssertionError(f"{link} leads nowhere: {page.url}")


@pytest.mark.parametrize("settings", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_a_protected_server_is_connected_by_signing_in(servers, tmp_path, settings):
    switchboard = Switchboard(tmp_path).start()
    try:
        api = httpx2.Client(
            base_url=f"{switchboard.url}/api/v1", headers={"Authorization": f"Bearer {switchboard.token}"},
            timeout=30, trust_env=False,
        )
        registers = settings.get("REGISTRATION") != "off"
        made = {} if registers else {"oauth": {
            "registration": "static", "client_id": "switchboard", "client_secret": "a secret of the tests, 0123456789",
        }}
        protected = Protected(tmp_path, servers["everything"].url, **settings) if registers else None
        url = protected.url if protected else f"http://127.0.0.1:{free_port()}/mcp"
        connection = api.post("/connections", json={"slug": "vendor", "url": url, "auth_type": "oauth"} | made).json()
        if protected is None:
            # The provider wants to know the callback first, and the connection's id is in it.
            protected = Protected(
                tmp_path, servers["everything"].url, CLIENT_ID="switchboard",
                CLIENT_SECRET="a secret of the tests, 0123456789", CALLBACK=connection["callback_url"], **settings,
            )
            api.patch(f"/connections/{connection['id']}", json={"url": protected.url} | made)
        started = api.post(f"/connections/{connection['id']}/authorize")
        assert started.status_code == 201, started.text
        end = sign_in(switchboard, started.json()["authorization_url"], "jo")
        became = api.get(f"/authorizations/{started.json()['state_id']}").json()
        assert became["status"] == "connected", (became, end.text)
        found = api.get(f"/connections/{connection['id']}").json()
        assert (found["status"], found["has_credential"]) == ("connected", True)
        assert found["tools_count"] == 13
        protected.process.stop()
    finally:
        switchboard.stop()


def test_a_server_is_called_as_a_client_of_its_own(servers, tmp_path):
    secret = "a secret of the tests, 0123456789"
    protected = Protected(
        tmp_path, servers["everything"].url, REGISTRATION="off", CLIENT_ID="reports", CLIENT_SECRET=secret,
    )
    switchboard = Switchboard(tmp_path).start()
    try:
        connection = switchboard.connect(
            "vendor", protected.url, auth_type="client_credentials",
            client_credentials={"client_id": "reports", "client_secret": secret},
        )
        assert connection["tools_count"] == 13
        assert secret not in str(connection)
        done = switchboard.api("POST", f"/connections/{connection['id']}/tools/echo/call", {"arguments": {"message": "hi"}})
        assert "hi" in str(done), done
        taken = switchboard.api("DELETE", f"/connections/{connection['id']}/credential")
        assert taken["provider"]["confirmed"] == 1, taken
        switchboard.wait_for(connection["id"], "needs_connection")
        # With another secret than the provider's it says so, and nothing worse.
        body = {"client_credentials": {"client_id": "reports", "client_secret": "not the one of the provider, 01234"}}
        switchboard.api("PATCH", f"/connections/{connection['id']}", body)
        switchboard.wait_for(connection["id"], "reauth_required")
        protected.process.stop()
    finally:
        switchboard.stop()
