"""HTTP/1.1 by hand: a vector says which bytes to send, and no library may repair them."""

import http.client
import json
import socket
from dataclasses import dataclass, field


@dataclass
class Answer:
    """`status` 0 means that the connection was closed without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def message(self) -> dict | None:
        """The JSON-RPC message of the body, whether it came as JSON or as the one event of a stream."""
        text = self.body.decode(errors="replace")
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
            text = next((line for line in reversed(data) if line), "")
        try:
            message = json.loads(text)
        except ValueError:
            return None
        return message if isinstance(message, dict) else None


@dataclass
class Request:
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def encode(self) -> bytes:
        head = [f"{self.method} {self.path} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in self.headers]
        head += [f"content-length: {len(self.body)}", "connection: close"]
        return "\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + self.body


def connect(port: int, timeout: float) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def read(connection: socket.socket, method: str = "POST") -> Answer:
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        body = response.read()
    except (http.client.HTTPException, ConnectionError):
        return Answer(0)
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def exchange(port: int, request: bytes, method: str = "POST", timeout: float = 30) -> Answer:
    with connect(port, timeout) as connection:
        try:
            connection.sendall(request)
        except ConnectionError:
            pass  # refused before everything was sent: the answer may still be there
        return read(connection, method)
