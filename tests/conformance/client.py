"""The client that the official suite tests: a running Switchboard, told what to do by the API, and a browser.

The suite runs it with the address of its server as the last argument. It connects that server as an admin does, signs in
at the provider as a person does, and calls every tool. Where a server then wants more, or another provider took the
place of the first, it does what a person would: connect again, or accept the new one, a few times at most.
"""

import json
import os
import secrets
import sys
import time
from pathlib import Path
from urllib.parse import urljoin

import httpx2

# More than any scenario needs; who is refused for ever has to stop asking.
ROUNDS = 3
PATIENCE_SECONDS = 20
SETTLED = {"connected", "needs_connection", "reauth_required", "needs_client", "error", "unreachable", "blocked"}


class Admin:
    def __init__(self, settings: dict):
        self.url = settings["url"]
        headers = {"Authorization": f"Bearer {settings['token']}"}
        self.api = httpx2.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60, trust_env=False)
        self.browser = httpx2.Client(base_url=self.url, timeout=60, trust_env=False)
        signed_in = self.browser.post("/sign-in", data={"email": settings["email"], "password": settings["password"]})
        assert signed_in.status_code == 303, signed_in.text

    def add(self, url: str, context: dict) -> dict:
        body = {"slug": f"c{secrets.token_hex(6)}", "url": url, "auth_type": "oauth"}
        scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
        if scenario.startswith("auth/client-credentials"):
            proof = {"client_secret": context["client_secret"]} if "client_secret" in context else {"private_key": context["private_key_pem"]}
            body |= {"auth_type": "client_credentials", "client_credentials": {"client_id": context["client_id"], **proof}}
        elif "client_id" in context:
            body["oauth"] = {
                "registration": "static", "client_id": context["client_id"],
                "client_secret": context.get("client_secret"),
            }
        made = self.api.post("/connections", json=body)
        assert made.status_code == 201, made.text
        connection = made.json()
        self.api.put(f"/connections/{connection['id']}/grants", json={"everyone": True}).raise_for_status()
        return connection

    def settled(self, connection: dict) -> dict:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.api.get(f"/connections/{connection['id']}").json()
            if found["status"] in SETTLED or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def sign_in(self, connection: dict) -> str:
        """What became of a sign-in: `connected`, or the reason why not."""
        path = f"/connections/{connection['id']}"
        started = self.api.post(f"{path}/authorize")
        if started.status_code == 409 and started.json()["code"] == "authorization_server_changed":
            self.accept(connection, started.json()["detail"])
            started = self.api.post(f"{path}/authorize")
        if started.status_code != 201:
            return started.json()["code"]
        left = self.browser.get(started.json()["authorization_url"])
        # The provider of the suite agrees at once: where it sends the person is all there is to know.
        sent = httpx2.get(left.headers["location"], follow_redirects=False, trust_env=False, timeout=60)
        back = urljoin(left.headers["location"], sent.headers.get("location", ""))
        if not back.startswith(self.url):
            return "not_sent_back"
        self.browser.get(back)
        became = self.api.get(f"/authorizations/{started.json()['state_id']}").json()
        return became["status"] if became["status"] == "connected" else became["reason"]

    def accept(self, connection: dict, detail: str):
        """The new authorization server, which the refusal names last."""
        issuer = detail.split("now names ", 1)[1].split(". ")[0]
        self.api.patch(f"/connections/{connection['id']}", json={"oauth": {"issuer": issuer}}).raise_for_status()
        self.settled(connection)

    def tools(self, connection: dict) -> list[dict]:
        return self.api.get(f"/connections/{connection['id']}/tools").json()["items"]

    def call(self, connection: dict, tool: str) -> dict:
        answer = self.api.post(f"/connections/{connection['id']}/tools/{tool}/call", json={"arguments": {}})
        return answer.json()


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    admin = Admin(settings)
    connection = admin.add(sys.argv[-1], context)
    found = admin.settled(connection)
    became = found["status"]
    for _ in range(ROUNDS):
        if found["auth_type"] == "oauth" and found["status"] != "connected":
            became = admin.sign_in(connection)
            print(f"signed in: {became}")
            if became == "signed_in_but_unusable":
                found = admin.settled(connection)
                continue
            if became != "connected":
                break
        wants_more = False
        for tool in admin.tools(connection):
            done = admin.call(connection, tool["name"])
            print(f"called {tool['name']}: {json.dumps(done)[:300]}")
            wants_more |= done.get("code") == "reauth_required"
        if not wants_more:
            break
        time.sleep(0.5)
        found = admin.settled(connection)
        if found["status"] == "connected":
            break
    print(f"ended: {became}")
    sys.exit(0 if became == "connected" else 1)


if __name__ == "__main__":
    main()
