"""Vectors that cannot run yet, with the issue that brings what they are about.

The table is checked: a case that is listed and passes must be taken out.
"""

WHOLE_PROTOCOL = 6

# id: (issue, what is missing)
PENDING = {
    "mcp-d067": (WHOLE_PROTOCOL, "mirrored parameters exist on direct surfaces only"),
    "mcp-d080": (WHOLE_PROTOCOL, "cursors of tools/list on direct surfaces"),
    "mcp-d081": (WHOLE_PROTOCOL, "legacy sessions of two principals"),
    "mcp-d082": (WHOLE_PROTOCOL, "a session id means nothing while there are no sessions"),
    "mcp-d083": (WHOLE_PROTOCOL, "request state"),
    "mcp-d084": (WHOLE_PROTOCOL, "request state"),
    "mcp-d097": (WHOLE_PROTOCOL, "subscriptions/listen"),
}
