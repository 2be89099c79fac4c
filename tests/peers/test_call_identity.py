"""For whom a call is, as a server finds it out: by somebody else's implementation of HTTP Message Signatures (RFC 9421)."""

import base64
import dataclasses
import datetime

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from harness.product import Switchboard
from harness.upstream import CountingUpstream
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, MappingKeyResolver, algorithms

FACTS = ("switchboard-organization-id", "switchboard-member-id", "switchboard-session-id", "switchboard-call-id")
COVERED = ("@method", "@target-uri", "content-digest", *FACTS)


@dataclasses.dataclass
class Request:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Recording(CountingUpstream):
    """Keeps every request as it arrived, the body byte for byte."""

    def _recording(self, app):
        self.requests: list[Request] = []

        async def recording(scope, receive, send):
            if scope["type"] != "http":
                return await app(scope, receive, send)
            headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
            request = Request(scope["method"], f"http://{headers.get('host')}{scope['raw_path'].decode()}", headers, b"")
            self.requests.append(request)

            async def reading():
                message = await receive()
                request.body += message.get("body", b"")
                return message

            await app(scope, reading, send)

        return recording


def verifier(keys: dict) -> HTTPMessageVerifier:
    public = {
        key["kid"]: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
        for key in keys["keys"]
    }
    resolver = MappingKeyResolver(public_keys=public, private_keys={})
    return HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=resolver)


def check(verify: HTTPMessageVerifier, request: Request):
    (result,) = verify.verify(
        request, max_age=datetime.timedelta(minutes=5), expect_tag="switchboard-identity",
        require_components=COVERED, body=request.body,
    )
    return result


def test_a_server_verifies_for_whom_a_call_is(tmp_path):
    upstream = Recording().start()
    switchboard = Switchboard(tmp_path).start()
    try:
        connection = switchboard.connect("records", upstream.url, send_identity=True)
        call = f"/connections/{connection['id']}/tools/echo/call"
        switchboard.api("POST", call, {"arguments": {"message": "für wen?"}})
        (request,) = [request for request in upstream.requests if b'"tools/call"' in request.body]
        keys = httpx2.get(connection["identity_keys_url"], trust_env=False).json()
        result = check(verifier(keys), request)
        assert result.body == request.body
        assert result.covered_components['"switchboard-call-id"'] == request.headers["switchboard-call-id"]
        assert request.headers["switchboard-call-id"].encode() in request.body, "in _meta too"

        # Of another body, another address, another member, or another connection it says nothing.
        other = switchboard.connect("other", upstream.url, send_identity=True)
        strange = httpx2.get(other["identity_keys_url"], trust_env=False).json()
        changed = [
            (keys, dataclasses.replace(request, body=request.body.replace(b"wen", b"uns"))),
            (keys, dataclasses.replace(request, url=request.url + "/other")),
            (keys, dataclasses.replace(request, headers=request.headers | {"switchboard-member-id": "mem_somebody"})),
            (strange, request),
        ]
        for known, forged in changed:
            with pytest.raises(InvalidSignature):
                check(verifier(known), forged)
        # What does not go to a tool is for nobody.
        assert not any("signature" in request.headers for request in upstream.requests if b'"tools/list"' in request.body)
    finally:
        switchboard.stop()
        upstream.stop()
