"""People sign in with an OpenID provider that is not ours, through its own pages, and their AI clients after them."""

import pytest
from harness.clients import LIST, PythonSignIn
from harness.identity_provider import IdentityProvider
from harness.person import Employee
from harness.product import Switchboard

PEOPLE = {
    "mia": {"email": "mia@example.com", "email_verified": True, "name": "Mia Lund", "groups": ["eng"]},
    "eve": {"email": "eve@example.com", "email_verified": False, "name": "Eve"},
    "kai": {"email": "kai@partner.example", "email_verified": True, "name": "Kai"},
}


@pytest.fixture(scope="module")
def switchboard(servers, tmp_path_factory):
    switchboard = Switchboard(tmp_path_factory.mktemp("identity")).start()
    try:
        switchboard.connect("everything", servers["everything"].url)
        yield switchboard
    finally:
        switchboard.stop()


@pytest.fixture(scope="module")
def company(switchboard, tmp_path_factory):
    provider = IdentityProvider(tmp_path_factory.mktemp("provider"), switchboard, PEOPLE)
    try:
        team = switchboard.api("POST", "/teams", {"name": "Engineering"})["id"]
        settings = provider.settings(
            verified_domains=["example.com"], group_claim="groups", group_teams=[{"group": "eng", "team": team}],
        )
        made = switchboard.api("POST", "/identity-providers", settings)
        assert made["callback_url"] == f"{switchboard.url}/sign-in/callback/{provider.path}"
        provider.team = team
        yield provider
    finally:
        provider.stop()


def employee(login: str, company: IdentityProvider) -> Employee:
    return Employee(login, f"/sign-in/with/{company.path}")


def last_sign_in(switchboard) -> dict:
    return switchboard.api("GET", "/audit?action=session.sign_in&limit=1")["items"][0]


def members(switchboard) -> dict[str, dict]:
    return {member["email"]: member for member in switchboard.api("GET", "/members")["items"]}


def test_a_person_presses_the_button_and_is_in(switchboard, company):
    mia = employee("mia", company)
    page = mia.open(f"{switchboard.url}/sign-in")
    assert page.status_code == 200 and page.url.path == "/", page.text
    assert "Sign in with Company" in mia.pages[0]
    assert mia.get(f"{switchboard.url}/api/v1/organization").status_code == 200
    member = members(switchboard)["mia@example.com"]
    assert (member["display_name"], member["role"], member["teams"]) == ("Mia Lund", "member", [company.team])
    assert last_sign_in(switchboard)["outcome"] == "ok"


@pytest.mark.parametrize(("login", "code"), [("eve", "not_invited"), ("kai", "not_invited")])
def test_who_may_not_join_is_told_so(switchboard, company, login, code):
    person = employee(login, company)
    page = person.open(f"{switchboard.url}/sign-in")
    assert page.status_code == 403 and "nobody invited you" in page.text
    assert person.get(f"{switchboard.url}/api/v1/organization").status_code == 401
    assert PEOPLE[login]["email"] not in members(switchboard)
    assert (last_sign_in(switchboard)["outcome"], last_sign_in(switchboard)["code"]) == ("refused", code)


def test_an_invitation_is_accepted_at_the_provider(switchboard, company):
    link = switchboard.api("POST", "/invitations", {"email": "kai@example.com", "role": "admin"})["url"]
    kai = employee("kai", company)
    assert "Join with Company" in kai.get(link).text
    page = kai.open(f"{link}/with/{company.path}")
    assert page.status_code == 200 and page.url.path == "/overview", page.text
    assert members(switchboard)["kai@example.com"]["role"] == "admin"
    assert kai.get(f"{switchboard.url}/api/v1/members").status_code == 200


def test_who_is_signed_in_is_asked_again_at_the_provider(switchboard, company):
    mia = employee("mia", company)
    mia.open(f"{switchboard.url}/sign-in")
    page = mia.get(f"{switchboard.url}/reauthenticate?return_to=/account/password")
    assert "Go on with Company" in page.text
    page = mia.open(f"{switchboard.url}/reauthenticate/with/{company.path}?return_to=/account/password")
    assert page.status_code == 200 and page.url.path == "/account/password", page.text
    entry = switchboard.api("GET", "/audit?action=session.reauthenticate&limit=1")["items"][0]
    assert entry["outcome"] == "ok"


def test_an_ai_client_needs_the_url_alone(switchboard, company):
    mia = employee("mia", company)
    client = PythonSignIn("Python agent")
    (listed,), _ = client.run(switchboard.mcp_url, mia, [LIST])
    assert [tool["name"] for tool in listed["tools"]] == ["search_capabilities", "execute_capability"]
    assert "Sign in with Company" in mia.pages[0] and "mia@example.com" in mia.pages[-1]
