"""The page `docs/reference/conformance.md`, from what was measured."""

from exceptions import EXCEPTIONS
from signing_in import SCENARIOS
from suite import NEWEST, STABLE, version

HEAD = """# Conformance

What the official suite `@modelcontextprotocol/conformance` says: {newest} (newest) and {stable} (newest stable).
*Direct* is the suite against a server with all its fixtures (`crates/testkit/src/conformance`); *through Switchboard* is the
same server behind the endpoint of a connection that exposes its tools directly.

This page is written by `UPDATE=1 bash tests/conformance.sh`; `./test conformance` measures again and compares.
"""


def page(tables: list[tuple[str, dict, dict]], clients: dict[str, dict]) -> str:
    parts = [HEAD.format(newest=version(NEWEST), stable=version(STABLE))]
    summary = ["| server scenarios | direct | through Switchboard |", "|---|---|---|"]
    for title, direct, through in tables:
        summary.append(f"| {title} | {count(direct)} | {count(through)} |")
    parts.append("\n".join(summary) + "\n")
    summary = ["| client scenarios other than `auth/*` | Switchboard as the client |", "|---|---|"]
    summary += [f"| {revision} | {count(scenarios)} |" for revision, scenarios in clients.items()]
    parts.append("\n".join(summary) + "\n")
    for title, direct, through in tables:
        lines = [f"## Server, {title}\n", "| scenario | direct | through Switchboard |", "|---|---|---|"]
        lines += [f"| `{name}` | {direct[name]} | {through.get(name, 'did not run')} |" for name in sorted(direct)]
        parts.append("\n".join(lines) + "\n")
    for revision, scenarios in clients.items():
        lines = [f"## Client, {revision}\n", "| scenario | Switchboard as the client |", "|---|---|"]
        lines += [f"| `{name}` | {scenario} |" for name, scenario in sorted(scenarios.items())]
        parts.append("\n".join(lines) + "\n")
    parts.append(signing_in())
    parts.append(exceptions())
    return "\n".join(parts)


def count(scenarios: dict) -> str:
    return f"{sum(scenario.ok for scenario in scenarios.values())} of {len(scenarios)}"


def signing_in() -> str:
    """Each is a test of its own, so that none can fail and be listed."""
    lines = ["## Client, signing in\n", "Each is a test of its own that has to pass, without exceptions.\n", "| scenario | revisions |", "|---|---|"]
    for name in sorted({name for name, _ in SCENARIOS}):
        otherwise = "2025-03-26" if "2025-03-26" in name else "extension"
        revisions = [revision or otherwise for scenario, revision in SCENARIOS if scenario == name]
        lines.append(f"| `{name}` | {', '.join(revisions)} |")
    return "\n".join(lines) + "\n"


def exceptions() -> str:
    if not EXCEPTIONS:
        return "## Exceptions\n\nThere is none.\n"
    lines = ["## Exceptions\n", "| scenario | set | why |", "|---|---|---|"]
    lines += [f"| `{name}` | {title} | {why} |" for (title, name), why in EXCEPTIONS.items()]
    return "\n".join(lines) + "\n"
