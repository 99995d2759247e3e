"""The provider of ``provider.mjs`` as a service on loopback, and a person with a browser at it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urljoin

import requests

from hoopjump.dev import programs
from hoopjump.dev.services import Service, minimal_environment

CACHE: Final = programs.CHECKOUT / ".cache" / "oidc" / "node_modules"

PEOPLE: Final[dict[str, dict[str, Any]]] = {
    "alice": {"email": "alice@example.com", "email_verified": True, "name": "Alice", "groups": ["admins", "dba"]},
    "bob": {"email": "bob@example.com", "email_verified": True, "name": "Bob", "groups": ["dba"]},
    "eve": {"email": "alice@example.com", "email_verified": False, "name": "Eve", "groups": []},
}


def node() -> Path:
    """The Node.js that ``./dev`` brought, where the machine's own is too old."""
    brought = sorted(CACHE.glob("node-linux-*/bin/node"))
    return brought[0] if brought else programs.find("node")


class Provider:
    """A running provider; use it as a context manager.

    ``people`` are claims by name; ``lifetimes`` are seconds by the provider's kinds of token (IdToken, AccessToken,
    RefreshToken, DeviceCode).
    """

    def __init__(
        self,
        directory: Path,
        people: Mapping[str, Mapping[str, Any]] = PEOPLE,
        lifetimes: Mapping[str, int] | None = None,
        port: int = 0,
    ) -> None:
        if not CACHE.exists():
            raise programs.ProgramMissingError("the OpenID Connect provider is missing; `./dev setup` gets it")
        self._log = directory / "provider.log"
        options = {"users": people, "ttl": lifetimes or {}, "port": port}
        script = programs.CHECKOUT / "tests" / "oidc" / "provider.mjs"
        self._service = Service(
            "provider",
            [str(node()), str(script), str(CACHE), json.dumps(options)],
            self._log,
            ready=self._find_issuer,
            environment=minimal_environment(),
        )

    def __enter__(self) -> Self:
        self._service.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.stop()

    @property
    def issuer(self) -> str:
        """Its name, which is its URL."""
        return self._find_issuer()

    def _find_issuer(self) -> str:
        found = re.findall(r'^\{"issuer":"([^"]+)"\}$', self._log.read_text(), re.MULTILINE)
        return found[-1] if found else ""

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def new_keys(self, *, keep: bool) -> None:
        """Sign with new keys from now on; the old ones stay in the set, or leave it."""
        self._tell("keys", {"keep": keep})

    def announce_keys(self) -> None:
        """Publish new keys, and go on signing with the old ones; :meth:`new_keys` takes the new ones."""
        self._tell("keys", {"keep": True, "sign": False})

    def go_offline(self, seconds: float) -> None:
        """Answer everything with status 503 for so long."""
        self._tell("offline", {"seconds": seconds})

    def _tell(self, what: str, value: object) -> None:
        requests.post(f"{self.issuer}/test/{what}", data=json.dumps(value), timeout=30).raise_for_status()

    def stop(self) -> None:
        """Be gone."""
        self._service.stop()


class _Forms(HTMLParser):
    """The first form of a page: where it goes, with the values that it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = given.get("action")
        elif tag == "input" and given.get("name"):
            self.fields[str(given["name"])] = given.get("value") or ""


class Person:
    """Somebody with a browser, who fills in the provider's forms."""

    def __init__(self, name: str = "alice") -> None:
        self.name = name
        self.session = requests.Session()
        self.session.trust_env = False
        self.visited: list[str] = []

    def open(self, url: str, *, until: str | None = None) -> requests.Response:
        """Go to a URL, follow redirects and forms, to the last page.

        With ``until`` the first redirect to a URL that begins so is not followed; it is the last of ``visited``.
        """
        return self._follow(self.session.get(url, allow_redirects=False, timeout=30), until)

    def approve(self, url: str, code: str | None = None) -> requests.Response:
        """Go to the page of the device flow, type the code if there is one, and agree."""
        page = self.session.get(url, timeout=30)
        return self._submit_all(page, {"user_code": code} if code else {}, None)

    def _follow(self, answer: requests.Response, until: str | None) -> requests.Response:
        while answer.is_redirect:
            url = urljoin(answer.url, answer.headers["Location"])
            self.visited.append(url)
            if until and url.startswith(until):
                return answer
            answer = self.session.get(url, allow_redirects=False, timeout=30)
        return self._submit_all(answer, {}, until)

    def _submit_all(self, page: requests.Response, typed: Mapping[str, str], until: str | None) -> requests.Response:
        form = _Forms(page.text)
        if form.action is None:
            return page
        values = {**form.fields, **typed}
        if "login" in values:
            values |= {"login": self.name, "password": "any"}
        if "abort" in values:
            del values["abort"]
        answer = self.session.post(urljoin(page.url, form.action), data=values, allow_redirects=False, timeout=30)
        return self._follow(answer, until)
