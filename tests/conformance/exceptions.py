"""What does not pass through Switchboard although the upstream passes it directly, with the reason."""

ECHO = "wants the program that drives the client to send a schema back, which no user's program does"

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("client 2026-07-28", "json-schema-2020-12-preservation"): ECHO,
}
