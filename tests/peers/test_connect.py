"""A real MCP server behind a real authorization server is connected from its address, as a person does it."""

import datetime
import json
import os
import ssl
import time

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
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
    def __init__(self, directory, mcp_url: str, port: int = 0, **settings: str):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        env = os.environ | {"PORT": str(self.port), "MCP_URL": mcp_url} | settings
        script = str(ROOT / "e2e" / "protected-server.mjs")
        self.process = Process([node(), script], directory / f"protected-{self.port}.log", env=env)
        self.process.wait_for_port(self.port)


def sign_in(switchboard: Switchboard, link: str, login: str, trusts=True) -> httpx2.Response:
    """Follows the link through Switchboard's sign-in and the provider's pages; where it ends."""
    password = (switchboard.directory / "owner-password").read_text()
    with httpx2.Client(timeout=30, trust_env=False, verify=trusts) as browser:
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


def test_a_client_proves_itself_with_a_key_through_a_whole_connection(servers, tmp_path):
    """The provider verifies each assertion: at the sign-in, when tokens are renewed, when they are taken back."""
    switchboard = Switchboard(tmp_path).start()
    try:
        port = free_port()
        connection = switchboard.api("POST", "/connections", {
            "slug": "vendor", "url": f"http://127.0.0.1:{port}/mcp", "auth_type": "oauth",
            "oauth": {"registration": "static", "client_id": "switchboard", "token_endpoint_auth_method": "private_key_jwt"},
        })
        protected = Protected(
            tmp_path, servers["everything"].url, port, REGISTRATION="off", TOKEN_LIFE="2", METHODS="private_key_jwt",
            CLIENT_ID="switchboard", CLIENT_KEY=json.dumps(connection["oauth"]["public_key"]), CALLBACK=connection["callback_url"],
        )
        connect(switchboard, connection)
        before = refreshed(protected)
        time.sleep(2)
        path = f"/connections/{connection['id']}"
        switchboard.api("PUT", f"{path}/grants", {"everyone": True})
        done = switchboard.api("POST", f"{path}/tools/echo/call", {"arguments": {"message": "hi"}})
        assert "hi" in str(done), done
        assert refreshed(protected) > before
        taken = switchboard.api("DELETE", f"{path}/credential")
        assert taken["provider"]["confirmed"] == 1, taken
        # Another key than the provider's proves nothing.
        switchboard.api("PATCH", path, {"oauth": {"private_key": None}})
        assert connect(switchboard, connection, expects="error")["reason"] == "client_rejected"
        protected.process.stop()
    finally:
        switchboard.stop()


def test_a_provider_that_registers_keys_only_is_given_one(servers, tmp_path):
    protected = Protected(tmp_path, servers["everything"].url, METHODS="private_key_jwt")
    switchboard = Switchboard(tmp_path).start()
    try:
        connection = switchboard.api("POST", "/connections", {"slug": "vendor", "url": protected.url, "auth_type": "oauth"})
        connect(switchboard, connection)
        assert switchboard.wait_for(connection["id"], "connected")["tools_count"] == 13
        protected.process.stop()
    finally:
        switchboard.stop()


@pytest.mark.parametrize("kind", ["made here", "P-256", "Ed25519", "RSA"])
def test_a_program_proves_itself_with_a_key(servers, tmp_path, kind):
    switchboard = Switchboard(tmp_path).start()
    try:
        port = free_port()
        proof = {"token_endpoint_auth_method": "private_key_jwt"} if kind == "made here" else {"private_key": private_key(kind)}
        connection = switchboard.api("POST", "/connections", {
            "slug": "vendor", "url": f"http://127.0.0.1:{port}/mcp", "auth_type": "client_credentials",
            "client_credentials": {"client_id": "reports"} | proof,
        })
        protected = Protected(
            tmp_path, servers["everything"].url, port, REGISTRATION="off", CLIENT_ID="reports",
            CLIENT_KEY=json.dumps(connection["client_credentials"]["public_key"]),
        )
        switchboard.api("POST", f"/connections/{connection['id']}/check")
        assert switchboard.wait_for(connection["id"], "connected")["tools_count"] == 13
        protected.process.stop()
    finally:
        switchboard.stop()


def connect(switchboard, connection: dict, expects: str = "connected") -> dict:
    started = switchboard.api("POST", f"/connections/{connection['id']}/authorize")
    end = sign_in(switchboard, started["authorization_url"], "jo")
    became = switchboard.api("GET", f"/authorizations/{started['state_id']}")
    assert became["status"] == expects, (became, end.text)
    return became


def refreshed(protected) -> int:
    """Tokens that the provider issued for a refresh token."""
    return protected.process.log.read_text().count("grant.success refresh_token")


def private_key(kind: str) -> str:
    key = {
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }[kind]()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
    ).decode()


class HttpsFront:
    """A reverse proxy with a name and a certificate of its own."""

    def __init__(self, directory):
        self.port = free_port()
        self.origin = f"https://localhost:{self.port}"
        self.authority = directory / "authority.pem"
        self._certificate, self._key = directory / "certificate.pem", directory / "key.pem"
        self._directory = directory
        make_certificates(self.authority, self._certificate, self._key)
        self.trusts = ssl.create_default_context(cafile=str(self.authority))

    def start(self, target: str):
        settings = {"PORT": str(self.port), "TARGET": target, "CERT": str(self._certificate), "KEY": str(self._key)}
        script = str(ROOT / "e2e" / "https-front.mjs")
        self.process = Process([node(), script], self._directory / "front.log", env=os.environ | settings)
        self.process.wait_for_port(self.port)


def make_certificates(authority, certificate, key):
    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(name: str, issuer: str, public, signer, *extensions):
        builder = x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=public, serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(hours=1), not_valid_after=now + datetime.timedelta(days=1),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(ours.public_key())
    whose = x509.AuthorityKeyIdentifier.from_issuer_public_key(ours.public_key())
    authority.write_bytes(signed(
        "tests", "tests", ours.public_key(), ours, (x509.BasicConstraints(ca=True, path_length=None), True), (usage, True),
        (identifier, False),
    ))
    certificate.write_bytes(signed("localhost", "tests", theirs.public_key(), ours, (names, False), (whose, False)))
    key.write_bytes(theirs.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
    ))


def test_behind_a_reverse_proxy_a_provider_reads_our_document(servers, tmp_path):
    """Another public URL than the listener's, in everything that leaves: document, callback, links."""
    front = HttpsFront(tmp_path)
    switchboard = Switchboard(tmp_path, options=["--public-url", front.origin]).start()
    front.start(switchboard.url)
    try:
        # Nobody may register, so that only the document is left.
        protected = Protected(
            tmp_path, servers["everything"].url, REGISTRATION="off", DOCUMENTS="on",
            NODE_EXTRA_CA_CERTS=str(front.authority),
        )
        connection = switchboard.api("POST", "/connections", {"slug": "vendor", "url": protected.url, "auth_type": "oauth"})
        assert connection["callback_url"].startswith(f"{front.origin}/oauth/callback/")
        document = httpx2.get(
            f"{front.origin}/oauth/client-metadata/{connection['id']}.json", verify=front.trusts, trust_env=False,
        ).json()
        assert document["redirect_uris"] == [connection["callback_url"]]
        assert document["client_id"].startswith(front.origin)
        started = switchboard.api("POST", f"/connections/{connection['id']}/authorize", expect=201)
        assert started["authorization_url"].startswith(f"{front.origin}/connect/")
        end = sign_in(switchboard, started["authorization_url"], "jo", trusts=front.trusts)
        became = switchboard.api("GET", f"/authorizations/{started['state_id']}")
        assert became["status"] == "connected", (became, end.text)
        protected.process.stop()
    finally:
        front.process.stop()
        switchboard.stop()


def test_tokens_that_live_for_seconds_are_renewed_by_a_provider_that_rotates_strictly(servers, tmp_path):
    protected = Protected(tmp_path, servers["everything"].url, TOKEN_LIFE="3")
    switchboard = Switchboard(tmp_path).start()
    try:
        connection = switchboard.api("POST", "/connections", {"slug": "vendor", "url": protected.url, "auth_type": "oauth"})
        switchboard.grant(connection)
        started = switchboard.api("POST", f"/connections/{connection['id']}/authorize", expect=201)
        sign_in(switchboard, started["authorization_url"], "jo")
        switchboard.wait_for(connection["id"])
        call = f"/connections/{connection['id']}/tools/echo/call"
        for round_ in range(4):
            # The life of a token: the next call finds it over.
            time.sleep(3.2)
            done = switchboard.api("POST", call, {"arguments": {"message": f"round {round_}"}})
            assert f"round {round_}" in str(done), done
        assert switchboard.api("GET", f"/connections/{connection['id']}")["status"] == "connected"
        protected.process.stop()
    finally:
        switchboard.stop()
