"""Vectors that cannot run yet, with the issue that brings what they are about.

The table is checked: a case that is listed and passes must be taken out.
"""

# id: (issue, what is missing)
PENDING: dict[str, tuple[int, str]] = {}
