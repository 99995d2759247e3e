"""How long a login waits for a provider that never comes to an end."""

from __future__ import annotations

import pytest

from hoopjump.identity import http
from hoopjump.identity.errors import IdentityError
from tests.gateway.test_deadline import HEADER, dripping


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxy"])
def test_an_answer_that_drips_is_cut(monkeypatch: pytest.MonkeyPatch, proxied: bool) -> None:
    """Each byte comes within the read timeout, and a login ends all the same, also where a proxy stands between."""
    monkeypatch.setattr(http, "WHOLE_SECONDS", 0.5)
    with dripping(HEADER, b"a", None) as (port, calls):
        url = f"http://127.0.0.1:{port}"
        if proxied:
            monkeypatch.setenv("NO_PROXY", "")
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("http_proxy", url)
            url = "http://idp.example.com"
        with pytest.raises(IdentityError, match=r"no whole answer within 0\.5 s") as caught:
            http.Http(allow_http=True).get(f"{url}/token")
        assert caught.value.code == "provider-unreachable"
        assert len(calls) == 1
