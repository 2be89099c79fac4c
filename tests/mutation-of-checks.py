#!/usr/bin/env python3
"""Takes every authorisation check of a decision away, one at a time, and shows which test notices.

    tests/mutation-of-checks.py            all of them; exit code 1 when one goes unnoticed
    tests/mutation-of-checks.py granted    those whose name contains a word

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


def main(words):
    chosen = [it for it in MUTATIONS if all(word in it[0] for word in words)]
    for path in sorted({it[1] for it in chosen}):
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
        told = "it does not build: change this list" if failed is None else ", ".join(f"`{it}`" for it in failed[:4])
        more = f" and {len(failed) - 4} more" if failed and len(failed) > 4 else ""
        print(f"| {name} | `{path}` | {told or '**none**'}{more} |", flush=True)
    if unnoticed:
        sys.exit(f"unnoticed: {', '.join(unnoticed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
