"""Secrets that must not be anywhere: how one could be spelled, and where it is."""

import base64
import re
from urllib.parse import quote


def spellings(secret: str) -> set[bytes]:
    """As it is, in hex, percent-encoded, in JSON, and in base64 wherever in a longer text it begins."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    found |= {quote(secret, safe=safe).encode() for safe in ("", "-._~")}
    found |= {re.sub(rb"%..", lambda match: match[0].lower(), text) for text in set(found)}
    for before in range(3):
        text = base64.b64encode(b"-" * before + raw).decode()
        # The first and last characters also depend on what stands beside it.
        inner = text[4 if before else 0 : -4]
        found |= {inner.encode(), inner.replace("+", "-").replace("/", "_").encode()}
    return {text for text in found if len(text) >= 8}


def where(secrets: list[str], places: dict[str, bytes]) -> list[str]:
    """Where a secret is, in whichever spelling."""
    return [
        f"{name}: {secret[:6]}…"
        for secret in secrets
        for spelling in spellings(secret)
        for name, content in places.items()
        if spelling in content
    ]
