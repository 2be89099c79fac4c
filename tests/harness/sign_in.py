"""An AI client that signs in as a person: registration, the browser's pages, tokens."""

import base64
import hashlib
import re
import secrets
from urllib.parse import parse_qs, urlsplit

import httpx2

from .product import OWNER, Switchboard

CALLBACK = "http://127.0.0.1/callback"


def hidden(page: str, name: str) -> str:
    return re.search(f'name="{name}" value="([^"]*)"', page)[1]


def sign_in(switchboard: Switchboard) -> dict:
    """What the token endpoint answers a client that the owner allowed."""
    with httpx2.Client(base_url=switchboard.url, trust_env=False, timeout=30) as browser:
        registered = browser.post("/oauth/register", json={"client_name": "Vectors", "redirect_uris": [CALLBACK]})
        assert registered.status_code == 201, registered.text
        client = registered.json()["client_id"]
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        begun = browser.get("/oauth/authorize", params={
            "response_type": "code", "client_id": client, "redirect_uri": CALLBACK,
            "code_challenge": challenge, "code_challenge_method": "S256",
        })
        assert begun.status_code == 303, begun.text
        consent = begun.headers["location"]
        password = (switchboard.directory / "owner-password").read_text()
        signed_in = browser.post("/sign-in", data={"email": OWNER, "password": password, "return_to": consent})
        assert signed_in.headers.get("location") == consent, signed_in.text
        page = browser.get(consent)
        allowed = browser.post(consent, data={"form_token": hidden(page.text, "form_token"), "decision": "allow"})
        assert allowed.status_code == 303, allowed.text
        code = parse_qs(urlsplit(allowed.headers["location"]).query)["code"][0]
        tokens = browser.post("/oauth/token", data={
            "grant_type": "authorization_code", "client_id": client, "code": code, "redirect_uri": CALLBACK,
            "code_verifier": verifier,
        })
        assert tokens.status_code == 200, tokens.text
        return tokens.json()
