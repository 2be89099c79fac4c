#!/usr/bin/env python3
"""Takes every authorisation check away, one at a time, and shows which test notices.

    tests/mutation-of-checks.py            all of them; exit code 1 when one goes unnoticed
    tests/mutation-of-checks.py granted    those whose name contains a word

Checks of decisions are taken out of the text, and the policy's own tests run after each. Checks of administration and
authentication need the tests of the server, which take long to build: all of them are built in at once, each switched
off by a variable of the environment, and the tests run once for each variable.

Works in place and puts every file back; refuses to begin on a file that has changes of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EVALUATE = "crates/policy/src/evaluate.rs"
SUBJECT = "crates/policy/src/subject.rs"
POLICY = ["cargo", "test", "-q", "-p", "switchboard-policy", "--lib"]

# name, file, the check, what is left without it, the tests that have to notice
MUTATIONS = [
    ("organization", EVALUATE, "requester.organization != organization || connection.organization != organization", "false", POLICY),
    ("granted", EVALUATE, "foreign || !connection.reaches(requester.caller)", "foreign", POLICY),
    ("owner of a personal connection", SUBJECT, "ConnectionOwner::Member(owner) => caller == Caller::Member(owner)", "ConnectionOwner::Member(_) => true", POLICY),
    ("staged", EVALUATE, "connection.staged && !connection.is_personal() && !requester.role.is_admin()", "false", POLICY),
    ("enabled", EVALUATE, "} else if !connection.enabled {", "} else if false {", POLICY),
    ("plan mode", EVALUATE, "requester.effective_mode() == Mode::Plan && !connection.allow_in_plan_mode", "false", POLICY),
    ("a token for plan mode alone", SUBJECT, "if plan_only { Mode::Plan } else { self.mode }", "self.mode", POLICY),
    ("selection", EVALUATE, "!connection.is_selected(requester.selection)", "false", POLICY),
    ("offered by the endpoint", EVALUATE, "if !capability.offered {", "if false {", POLICY),
    ("allow and deny lists", EVALUATE, "if !capability.admitted {", "if false {", POLICY),
    ("gone upstream", EVALUATE, "capability.state == CapabilityState::Gone", "false", POLICY),
    ("a blocking rule", EVALUATE, "(RuleAction::Block, Some(source)) => Err(Reason::Blocked { source }),", "", POLICY),
    ("the approved definition", EVALUATE, "_ if capability.state != CapabilityState::Approved => Err(Reason::Changed(capability.state)),", "", POLICY),
    ("scope to list", EVALUATE, "Ok(_) if !self.requester.may_list() => {", "Ok(_) if false => {", POLICY),
    ("scope to execute", EVALUATE, "if let Some(needed) = self.requester.missing_to_execute() {", "if let Some(needed) = None::<Scope> {", POLICY),
    ("an approval where one is asked for", EVALUATE, "if trace.action == RuleAction::Allow {", "if true {", POLICY),
    ("the approval is for this call", EVALUATE, "Purpose::ExecuteApproved(approval) if answers(approval, &subject, &requirement) => {", "Purpose::ExecuteApproved(approval) => {", POLICY),
    ("the approval is of this caller", EVALUATE, "&& approval.requested_by == requester.caller", "", POLICY),
    ("the approval's decider may decide", EVALUATE, "&& requirement.admits(&approval.decided_by, requester.caller)", "", POLICY),
    ("what calls itself destructive is held", EVALUATE, "self.holds(capability) && trace.action < RuleAction::RequireApproval", "false", POLICY),
    ("the strictest rule wins", EVALUATE, "trace.source.is_none() || effect > trace.action", "trace.source.is_none()", POLICY),
    ("a condition on unknown arguments blocks", EVALUATE, "Match { effect: RuleAction::Block, ..*found }", "*found", POLICY),
]


AUTHORIZE = "crates/broker/src/manage/authorize.rs"
AUTHENTICATE = "crates/broker/src/authenticate.rs"
SESSION = "crates/broker/src/mcp_session.rs"
SWITCH = "SWITCHBOARD_TEST_WITHOUT_CHECK"
# Tests of the server that look at who may do what, and at who somebody is; on SQLite: the checks know nothing of databases.
TESTS = {
    AUTHORIZE: ["api::matrix", "api::owners", "api::rules", "api::connections", "api::credentials", "approvals", "client_bound", "rollout"],
    AUTHENTICATE: ["strangers", "api::tokens", "api::client_credentials", "oauth::", "members", "surfaces", "protocol", "audited"],
    SESSION: ["client_bound", "replicas"],
}

# name, file, the text around the check, the check in it, what it says without it
SWITCHED = [
    ("administration is the admins'", AUTHORIZE, "(Needs::Admin, Target::Organization) => {},", "admin", "true"),
    ("what is not granted is not seen", AUTHORIZE, "let open = {};", "connection.switches.enabled && is_granted(principal, connection, grants)", "true"),
    ("what is switched off is not seen", AUTHORIZE, "let open = {} && is_granted(principal, connection, grants);", "connection.switches.enabled", "true"),
    ("a toolkit is seen by whom it admits", AUTHORIZE, "None => {},", "admin || admits_caller", "true"),
    ("an account is connected where one is granted", AUTHORIZE, "(Needs::Grant, Target::Connection { connection, grants }) => {\n            {}\n", "belongs(principal, connection) && is_granted(principal, connection, grants)", "true"),
    ("a connection is managed by who manages it", AUTHORIZE, "(Needs::Management, Target::Connection { connection, .. }) => {\n            {}\n", "belongs(principal, connection) && manages(principal, connection)", "true"),
    ("a member's toolkit is theirs, the organization's the admins'", AUTHORIZE, "(Needs::Management, Target::Toolkit { owner, .. }) => {}", "match owner {\n            Some(owner) => principal.member() == Some(owner),\n            None => admin,\n        }", "true"),
    ("what is a caller's own is theirs", AUTHORIZE, "(Needs::Ownership, Target::Of(owner)) => {},", "admin || principal.caller == owner", "true"),
    ("an approval is seen by whom it concerns", AUTHORIZE, "&& {}\n        }\n        (Needs::Decision", "(admin && is_shared\n                    || principal.caller == approval.requested_by\n                    || admits(principal, approval, requirement))", "true"),
    ("a held call of a personal connection is not the admins' to see", AUTHORIZE, "(admin && {}\n", "is_shared", "true"),
    ("who asked does not decide", AUTHORIZE, "{} && admits(principal, approval, requirement)\n", "!asked(principal, approval, asker)", "true"),
    ("whom the rules name decides", AUTHORIZE, "!asked(principal, approval, asker) && {}\n", "admits(principal, approval, requirement)", "true"),
    ("the token that asked does not decide", AUTHORIZE, "{}\n                || (approval.oauth_client", "(approval.token.is_some() && approval.token == asker.token)", "false"),
    ("the client that asked does not decide", AUTHORIZE, "|| {}\n        }\n        Proof::Inquiry", "(approval.oauth_client.is_some() && approval.oauth_client == asker.client)", "false"),
    ("the organization's connections are the admins' to manage", AUTHORIZE, "ConnectionOwner::Organization => {},", "principal.role.is_admin()", "true"),
    ("a personal connection is its owner's to manage", AUTHORIZE, "ConnectionOwner::Member(owner) => {},", "principal.member() == Some(owner)", "true"),
    ("what is staged is the admins'", AUTHORIZE, "let is_out = {};", "connection.switches.rollout != Rollout::Staged || principal.role.is_admin()", "true"),
    ("a personal connection is its owner's to use", AUTHORIZE, "(ConnectionOwner::Member(owner), caller) => {},", "caller == Caller::Member(owner)", "true"),
    ("a revoked token is none", AUTHENTICATE, "if {} || owner.status", "token.revoked_at.is_some()", "false"),
    ("who was suspended is nobody", AUTHENTICATE, "|| {} {", "owner.status != MemberStatus::Active", "false"),
    ("a token that is over is none", AUTHENTICATE, "let expired = {};", "found.expires_at.is_some_and(|expires_at| expires_at <= now)", "false"),
    ("a token for one endpoint is for that one", AUTHENTICATE, "{} || other_pin", "bound.resource != *resource", "false"),
    ("a client's token is for the URL it was asked for", AUTHENTICATE, "let other_pin = {};", "principal.proof.is_grant() && bound.organization.as_ref() != organization", "false"),
    ("a URL of another organization admits nobody", AUTHENTICATE, "let other_organization = {};", "organization\n            .is_some_and(|slug| snapshots.organization_by_slug(slug) != Some(principal.organization))", "false"),
    ("the API needs its scope", AUTHENTICATE, "Resource::Api => {},", "principal.scopes.contains(Scope::Api)", "true"),
    ("an MCP endpoint needs one of its scopes", AUTHENTICATE, "_ => {},", "[Scope::McpRead, Scope::McpWrite, Scope::McpPlan]\n                .into_iter()\n                .any(|scope| principal.scopes.contains(scope))", "true"),
    ("what was found of a token is as old as the organization's version", AUTHENTICATE, "is_some_and(|snapshot| {})", "snapshot.version == found.version", "true"),
    ("a session is its caller's", SESSION, "&& {}\n            && self.client", "self.caller == principal.caller.to_string()", "true"),
    ("a session is its client's", SESSION, "&& {}\n            && self.resource", "self.client == client_of(principal)", "true"),
    ("a session is its endpoint's", SESSION, "&& {}\n    }", "self.resource == resource.path()", "true"),
]


def is_clean(path):
    return subprocess.run(["git", "diff", "--quiet", "HEAD", "--", path], cwd=ROOT, check=False).returncode == 0


def noticed_by(command):
    """Names of the tests that fail; None when the code no longer builds."""
    # A failure that is kept would be tried again on the next one, and after.
    environment = {**os.environ, "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    failed = sorted(set(re.findall(r"^    (\S+::\S+)$", done.stdout, re.M)))
    if done.returncode != 0 and not failed:
        return None
    return failed


def switchable(text, chosen):
    """The text with every check behind a switch, and the names of those that are not there as written."""
    missing, spans = [], []
    for number, (name, _, around, check, without) in chosen:
        whole = around.replace("{}", check, 1)
        if text.count(whole) != 1:
            missing.append(name)
            continue
        begin = text.index(whole) + around.index("{}")
        off = f'std::env::var("{SWITCH}").is_ok_and(|it| it == "{number}")'
        spans.append((begin, begin + len(check), f"(if {off} {{ {without} }} else {{ ", " })"))
    # One check may stand within another: what opens later goes further in.
    edits = sorted(
        [(begin, -end, before) for begin, end, before, _ in spans] + [(end, begin - len(text), after) for begin, end, _, after in spans],
        key=lambda it: (it[0], it[1]),
        reverse=True,
    )
    for at, _, addition in edits:
        text = text[:at] + addition + text[at:]
    return text, missing


def switched(chosen):
    """Yields each check with the tests that fail without it."""
    texts = {path: (ROOT / path).read_text() for path in sorted({it[1] for _, it in chosen})}
    environment = {**os.environ, "SWITCHBOARD_TEST_SQLITE_ONLY": "1"}
    build = ["cargo", "test", "-q", "-p", "switchboard-server", "--test", "it"]
    missing = []
    try:
        for path, text in texts.items():
            with_switches, absent = switchable(text, [it for it in chosen if it[1][1] == path])
            missing += absent
            (ROOT / path).write_text(with_switches)
        built = subprocess.run([*build, "--no-run"], cwd=ROOT, env=environment, check=False)
        if built.returncode != 0:
            sys.exit("the checks with their switches do not build: change this list")
        for number, (name, path, *_) in [(None, ("all of them there", ""))] + chosen:
            if name in missing:
                yield name, path, None
                continue
            run = {**environment, SWITCH: str(number)}
            tests = TESTS[path] if path else sorted({test for tests in TESTS.values() for test in tests})
            command = [*build, "--", "--test-threads", "4", *tests]
            done = subprocess.run(command, cwd=ROOT, env=run, capture_output=True, text=True, check=False)
            failed = sorted(set(re.findall(r"^    (\S+::\S+)$", done.stdout, re.M)))
            if number is None and failed:
                sys.exit(f"the tests fail with every check in place: {', '.join(failed)}")
            if number is not None:
                yield name, path, failed
    finally:
        for path, text in texts.items():
            (ROOT / path).write_text(text)


def tell(name, path, failed):
    told = "it can't be taken away as written: change this list" if failed is None else ", ".join(f"`{it}`" for it in failed[:4])
    more = f" and {len(failed) - 4} more" if failed and len(failed) > 4 else ""
    print(f"| {name} | `{path}` | {told or '**none**'}{more} |", flush=True)


def main(words):
    chosen = [it for it in MUTATIONS if all(word in it[0] for word in words)]
    with_switch = [(n, it) for n, it in enumerate(SWITCHED) if all(word in it[0] for word in words)]
    for path in sorted({it[1] for it in chosen} | {it[1] for _, it in with_switch}):
        if not is_clean(path):
            sys.exit(f"{path} has changes: commit or drop them first")
    unnoticed = []
    print("| check | where | tests that fail without it |\n|---|---|---|", flush=True)
    for name, path, check, without, command in chosen:
        file = ROOT / path
        text = file.read_text()
        if text.count(check) != 1:
            unnoticed.append(name)
            print(f"| {name} | `{path}` | the check is not there as written: bring this list up to date |", flush=True)
            continue
        try:
            file.write_text(text.replace(check, without))
            failed = noticed_by(command)
        finally:
            file.write_text(text)
        if not failed:
            unnoticed.append(name)
        tell(name, path, failed)
    for name, path, failed in switched(with_switch) if with_switch else []:
        if not failed:
            unnoticed.append(name)
        tell(name, path, failed)
    if unnoticed:
        sys.exit(f"unnoticed: {', '.join(unnoticed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
