"""Every scenario that the upstream passes directly passes through Switchboard, or is listed with its reason."""

import os

import pytest
from exceptions import EXCEPTIONS
from harness.process import ROOT
from suite import SERVER_RUNS, run_server
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
    print(page(tables))
    for title, _, results in tables:
        for name, scenario in results.items():
            for message in scenario.messages:
                print(f"{title} {name}: {message[:200]}")
    return tables


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
    assert failing == set(EXCEPTIONS)


def test_the_page_says_what_was_measured(measured):
    text = page(measured)
    if os.environ.get("UPDATE"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "run: UPDATE=1 bash tests/conformance.sh"
