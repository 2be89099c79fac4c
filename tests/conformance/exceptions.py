"""What does not pass through Switchboard although the upstream passes it directly, with the reason."""

ECHO = "wants the program that drives the client to send a schema back, which no user's program does"

FIRST = "takes the first tool of the list; a catalogue is sorted by name, and the first one here works as a task only"

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("2026-07-28", "http-header-validation"): FIRST,
    ("client 2026-07-28", "json-schema-2020-12-preservation"): ECHO,
}
