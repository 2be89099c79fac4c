"""A running Switchboard: started the way an operator starts it, spoken to the way scripts do."""

import json
import os
import secrets
import subprocess
import time
from pathlib import Path

import httpx2

from .process import PATIENCE_SECONDS, ROOT, Process, free_port

OWNER = "owner@example.com"
ALL_SCOPES = ("mcp:read", "mcp:write", "api")


def binary() -> Path:
    """The program under test: SWITCHBOARD_BIN, or what `cargo build` made."""
    if chosen := os.environ.get("SWITCHBOARD_BIN"):
        return Path(chosen)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "debug" / "switchboard"


class Switchboard:
    def __init__(self, directory: Path, stdio: list[dict] = (), database_url: str | None = None, options: list[str] = ()):
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.mcp_url = f"{self.url}/mcp"
        self.options = list(options)
        self.process: Process | None = None
        # Nothing of the tests' own settings may reach the program.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHBOARD_")}
        # The people of the tests all sign in from one address.
        self.environment["SWITCHBOARD_SIGN_IN_ATTEMPTS_PER_MINUTE_PER_SOURCE"] = "1000"
        self.environment["SWITCHBOARD_SIGN_IN_ATTEMPTS_PER_MINUTE"] = "1000"
        if database_url:
            self.environment["SWITCHBOARD_DATABASE_URL"] = database_url
        self.configuration = directory / "switchboard.toml"
        self.configuration.write_text(configuration_file(stdio))
        password = directory / "owner-password"
        password.write_text(secrets.token_urlsafe(24))
        self.admin("create-owner", "--email", OWNER, "--password-file", str(password))
        self.token = self.create_token()

    # The command line

    def command(self, *arguments: str) -> list[str]:
        return [str(binary()), *arguments, "--config", str(self.configuration), "--data-dir", str(self.data)]

    def admin(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command("admin", *arguments), capture_output=True, text=True, timeout=120,
            env=self.environment, cwd=self.directory,
        )
        assert done.returncode == 0, f"switchboard admin {arguments[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def create_token(self, *scopes: str, email: str = OWNER, extra: tuple[str, ...] = ()) -> str:
        return self.create_token_record(*scopes, email=email, extra=extra)["token"]

    def create_token_record(self, *scopes: str, email: str = OWNER, extra: tuple[str, ...] = ()) -> dict:
        wanted = [part for scope in scopes or ALL_SCOPES for part in ("--scope", scope)]
        record = json.loads(self.admin("create-token", "--email", email, *wanted, *extra, "--json"))
        assert set(record) >= {"token", "id", "expires_at"}
        return record

    # The process

    def start(self):
        self.process = Process(
            self.command("serve", "--listen", f"127.0.0.1:{self.port}", "--allow-private-networks", "--allow-stdio", *self.options),
            self.directory / "switchboard.log", env=self.environment, cwd=self.directory,
        )
        self.process.wait_until(self.ready, "ready")
        return self

    def ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self):
        if self.process:
            self.process.stop(patience=45)

    # The REST API

    def api(self, method: str, path: str, body: dict | list | None = None, token: str | None = None, expect: int | None = None):
        answer = httpx2.request(
            method, f"{self.url}/api/v1{path}", json=body, timeout=30, trust_env=False,
            headers={"Authorization": f"Bearer {token or self.token}"},
        )
        if expect is None:
            assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        else:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def connect(self, slug: str, url: str, transport: str = "streamable_http", **fields) -> dict:
        """Adds a connection, grants it to everyone and waits until its tools are known."""
        body = {"slug": slug, "name": slug, "url": url, "transport": transport, "auth_type": "none"} | fields
        connection = self.api("POST", "/connections", body)
        self.grant(connection)
        return self.wait_for(connection["id"])

    def grant(self, connection: dict):
        self.api("PUT", f"/connections/{connection['id']}/grants", {"everyone": True})

    def wait_for(self, connection_id: str, status: str = "connected") -> dict:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            connection = self.api("GET", f"/connections/{connection_id}")
            if connection["status"] == status:
                return connection
            assert time.monotonic() < deadline, f"not {status} after {PATIENCE_SECONDS} s: {connection}"
            time.sleep(0.2)

    def wait_for_review(self, connection_id: str):
        """Waits until a definition differs from the approved one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.api("GET", f"/connections/{connection_id}/tools/review")["items"]:
            assert time.monotonic() < deadline, f"nothing to review after {PATIENCE_SECONDS} s"
            time.sleep(0.2)

    def connection(self, slug: str) -> dict:
        page = self.api("GET", "/connections?scope=manageable")
        found = page.get("items", page.get("connections", page)) if isinstance(page, dict) else page
        return next(connection for connection in found if connection["slug"] == slug)

    # Organizations

    def organization_slug(self) -> str:
        return self.api("GET", "/organization")["slug"]

    def other_organization(self) -> str:
        """A second organization on the same server: the token of its owner."""
        email = "stranger@example.com"
        password = self.directory / "stranger-password"
        password.write_text(secrets.token_urlsafe(24))
        self.admin("create-organization", "--slug", "elsewhere", "--name", "Elsewhere")
        self.admin("create-owner", "--organization", "elsewhere", "--email", email, "--password-file", str(password))
        return self.create_token("mcp:read", "mcp:write", email=email, extra=("--organization", "elsewhere"))

    # /mcp

    def bearer(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.token}"}


def configuration_file(stdio: list[dict]) -> str:
    """The operator's file: stdio servers can only be named there."""
    lines = []
    for server in stdio:
        lines += ["[[stdio]]", f"slug = {json.dumps(server['slug'])}", f"command = {json.dumps(server['command'])}",
                  f"args = {json.dumps(server['args'])}"]
        if server.get("env"):
            pairs = ", ".join(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in server["env"].items())
            lines.append(f"env = {{ {pairs} }}")
        lines.append("")
    return "\n".join(lines)


def postgres_database(name: str) -> str:
    """A fresh database on the tests' private PostgreSQL; its URL."""
    server = subprocess.run(
        ["bash", str(ROOT / "tests" / "postgres.sh"), "start"], check=True, capture_output=True, text=True,
    ).stdout.strip()
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql")) or [Path("psql")]
    for statement in (f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"'):
        subprocess.run([str(programs[-1]), server, "-qc", statement], check=True, capture_output=True, text=True)
    return server.rsplit("/", 1)[0] + "/" + name
