"""An OpenID provider that is not ours (oidc-provider from npm), for the people of a company."""

import json
import os
import secrets
from pathlib import Path

from .process import ROOT, Process, free_port, node
from .product import Switchboard

SLUG = "company"


class IdentityProvider:
    def __init__(self, directory: Path, switchboard: Switchboard, people: dict[str, dict], **settings: str):
        port = free_port()
        self.issuer = f"http://127.0.0.1:{port}"
        self.client_id = "switchboard"
        self.client_secret = secrets.token_urlsafe(24)
        organization = switchboard.api("GET", "/organization")["slug"]
        self.path = f"{organization}/{SLUG}"
        self.process = Process(
            [node(), str(ROOT / "e2e" / "identity-provider.mjs")], directory / "identity-provider.log",
            env=os.environ | {
                "PORT": str(port), "CLIENT_ID": self.client_id, "CLIENT_SECRET": self.client_secret,
                "CALLBACK": f"{switchboard.url}/sign-in/callback/{self.path}", "PEOPLE": json.dumps(people),
            } | settings,
        )
        self.process.wait_for_port(port)

    def settings(self, **more) -> dict:
        return {
            "slug": SLUG, "name": "Company", "issuer": self.issuer, "client_id": self.client_id,
            "client_secret": self.client_secret, **more,
        }

    def stop(self):
        self.process.stop()
