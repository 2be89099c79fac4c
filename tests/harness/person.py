"""A person at a browser, without the browser: opens a link, fills in the forms they meet, ends where the client waits."""

import re
import secrets
from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2


class Form:
    """A form of a page: where it goes, and the fields that it brings itself."""

    def __init__(self, action: str):
        self.action = action
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []


class _Forms(HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms: list[Form] = []
        self._open = False

    def handle_starttag(self, tag, attributes):
        attributes = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(Form(attributes["action"]))
            self._open = True
        elif self._open and "name" in attributes:
            if tag == "button":
                self.forms[-1].buttons.append((attributes["name"], attributes["value"]))
            elif tag == "input":
                self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag):
        if tag == "form":
            self._open = False


def forms_of(page: httpx2.Response) -> list[Form]:
    parser = _Forms()
    parser.feed(page.text)
    return parser.forms


class NotLetIn(Exception):
    """The page that a form led to says no."""


class Person:
    """Keeps cookies, and an eye on what was on the pages."""

    def __init__(self, email: str, password: str | None = None):
        self.email = email
        self.password = password or secrets.token_urlsafe(24)
        self.pages: list[str] = []
        # A connection that was idle for a while may be closed just when it is used again.
        self._browser = httpx2.Client(timeout=30, trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0))

    def join(self, link: str):
        """Accepts an invitation, then leaves: the cookie of that visit does not come along."""
        with httpx2.Client(timeout=30, trust_env=False) as browser:
            (form,) = forms_of(browser.get(link))
            sent = browser.post(urljoin(link, form.action), data=form.fields | {"name": "Mia", "password": self.password})
            assert sent.status_code == 303, sent.text

    def answer(self, link: str, redirect_uri: str, decision: str = "allow") -> dict[str, str]:
        """Follows the link through sign-in and consent; what is said to the client at its own address."""
        page = self._browser.get(link)
        for _ in range(30):
            if page.is_redirect:
                target = urljoin(str(page.url), page.headers["location"])
                if target.startswith(redirect_uri):
                    return dict(parse_qsl(urlsplit(target).query))
                page = self._browser.get(target)
            else:
                page = self._fill_in(page, decision)
        raise AssertionError(f"{link} leads nowhere: {self.pages[-1]}")

    def _fill_in(self, page: httpx2.Response, decision: str) -> httpx2.Response:
        if page.status_code != 200:
            raise NotLetIn(f"{page.url.path}: {page.status_code}\n{page.text}")
        self.pages.append(page.text)
        form = forms_of(page)[0]
        fields = dict(form.fields)
        if "password" in fields:
            fields |= {"email": self.email, "password": self.password}
        else:
            assert ("decision", decision) in form.buttons, page.text
            fields["decision"] = decision
        return self._browser.post(urljoin(str(page.url), form.action), data=fields)


class Employee(Person):
    """Signs in with the company's identity provider: presses its button, then does what the provider's pages ask."""

    def __init__(self, login: str, button: str):
        super().__init__(login)
        self.login = login
        self.button = button

    def open(self, link: str) -> httpx2.Response:
        """Follows everything from the link on; the page where nothing is left to do."""
        page = self._browser.get(link)
        for _ in range(30):
            if page.is_redirect:
                target = urljoin(str(page.url), page.headers["location"])
                page = self._browser.get(target)
            elif page.status_code == 200 and (asked := self._asked(page)):
                page = asked
            else:
                return page
        raise AssertionError(f"{link} leads nowhere: {page.url}")

    def get(self, url: str) -> httpx2.Response:
        return self._browser.get(url)

    def _fill_in(self, page: httpx2.Response, decision: str) -> httpx2.Response:
        if page.status_code == 200 and (asked := self._asked(page)) is not None:
            return asked
        return super()._fill_in(page, decision)

    def _asked(self, page: httpx2.Response) -> httpx2.Response | None:
        """What follows on the sign-in page or a page of the provider; None for every other page."""
        links = [link for link in _links(page) if self.button in link]
        if links and "/sign-in" in page.url.path:
            self.pages.append(page.text)
            return self._browser.get(urljoin(str(page.url), links[0]))
        forms = [form for form in forms_of(page) if "prompt" in form.fields]
        if not forms:
            return None
        fields = dict(forms[0].fields)
        if fields["prompt"] == "login":
            fields |= {"login": self.login, "password": "any"}
        return self._browser.post(urljoin(str(page.url), forms[0].action), data=fields)


def _links(page: httpx2.Response) -> list[str]:
    return [unescape(link) for link in re.findall(r'<a [^>]*href="([^"]+)"', page.text)]
