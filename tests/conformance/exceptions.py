"""What does not pass through Switchboard although the upstream passes it directly, with the reason."""

TASKS = "the tasks extension is not passed on: it is not offered"
NULL = "arguments are validated against the tool's schema first, and this schema does not allow the null"
ECHO = "wants the program that drives the client to send a schema back, which no user's program does"

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("2026-07-28", "tasks-lifecycle"): TASKS,
    ("2026-07-28", "tasks-capability-negotiation"): TASKS,
    ("2026-07-28", "tasks-wire-fields"): TASKS,
    ("2026-07-28", "tasks-request-state-removal"): TASKS,
    ("2026-07-28", "tasks-mrtr-input"): TASKS,
    ("2026-07-28", "tasks-request-headers"): TASKS,
    ("2026-07-28", "tasks-dispatch-and-envelope"): TASKS,
    ("2026-07-28", "tasks-mrtr-composition"): TASKS,
    ("2026-07-28", "http-header-validation"): "picks a tool that works as a task only, and tasks are not offered",
    ("client 2026-07-28", "http-custom-headers"): NULL,
    ("client 2026-07-28", "json-schema-2020-12-preservation"): ECHO,
}
