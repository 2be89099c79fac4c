"""Every scenario that the upstream passes directly passes through Switchboard, or is listed with its reason."""

import os

import pytest
from exceptions import EXCEPTIONS
from harness.process import ROOT
from suite import CLIENT_SCENARIOS, SERVER_RUNS, run_client, run_server
from table import page

PAGE = ROOT / "docs" / "reference" / "conformance.md"
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def measured(upstream, through, tmp_path_factory):
    tables = []
    for number, run in enumerate(SERVER_RUNS):
        results = [
            run_server(run, url, tmp_path_factory.mktemp(f"{side}-{number}"))
            for side, url in (("direct", upstream), ("through", through))
        ]
        tables.append((run.title, *results))
    for title, _, results in tables:
        for name, scenario in results.items():
            for message in scenario.messages:
                print(f"{title} {name}: {message[:200]}")
    return tables


@pytest.fixture(scope="module")
def as_client(tmp_path_factory):
    measured = {
        revision: {name: run_client(revision, name, tmp_path_factory.mktemp("client")) for name in names}
        for revision, names in CLIENT_SCENARIOS.items()
    }
    for revision, scenarios in measured.items():
        for name, scenario in scenarios.items():
            for message in scenario.messages:
                print(f"client {revision} {name}: {message[:300]}")
    return measured


def test_switchboard_passes_as_a_client(as_client):
    failing = {(f"client {revision}", name) for revision, all in as_client.items() for name, one in all.items() if not one.ok}
    assert failing == {exception for exception in EXCEPTIONS if exception[0].startswith("client ")}


def test_the_upstream_itself_passes_everything(measured):
    failing = [(title, name) for title, direct, _ in measured for name, scenario in direct.items() if not scenario.ok]
    assert failing == []
    assert all(direct for _, direct, _ in measured)


def test_what_passes_directly_passes_through_switchboard(measured):
    failing = {
        (title, name)
        for title, direct, through in measured
        for name in direct
        if name not in through or not through[name].ok
    }
    # An exception that passes by now has to be taken out of the list.
    assert failing == {exception for exception in EXCEPTIONS if not exception[0].startswith("client ")}


def test_the_page_says_what_was_measured(measured, as_client):
    text = page(measured, as_client)
    print(text)
    if os.environ.get("UPDATE"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "run: UPDATE=1 bash tests/conformance.sh"
