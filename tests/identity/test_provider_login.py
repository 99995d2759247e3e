"""Logging in at a real provider, with the commands as they are typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.identity.conftest import Laptop, browser
from tests.oidc.provider import Person, Provider


def log_in(laptop: Laptop, *options: str, name: str = "alice") -> None:
    said = laptop.hoopjump("login", "--browser", browser(name), *options)
    assert said.status == 0, said.err


def test_a_browser_login_says_who_and_whoami_too(laptop: Laptop, provider: Provider) -> None:
    """Authorization code, PKCE, a loopback redirect; user, groups and end are those of the provider."""
    laptop.configure(provider.issuer)
    said = laptop.hoopjump("login", "--browser", browser())
    assert said.status == 0, said.err
    assert "logged in as alice" in said.err
    assert said.out == ""
    shown = laptop.hoopjump("whoami")
    assert shown.status == 0
    assert "user         alice (alice@example.com)" in shown.out
    assert "groups       admins, dba" in shown.out
    members = json.loads(laptop.hoopjump("whoami", "--json").out)
    assert (members["user"], members["groups"], members["renewable"]) == ("alice", ["admins", "dba"], True)


@pytest.mark.parametrize("client", ["hoopjump-rsa", "hoopjump-secret"])
def test_other_kinds_of_client_log_in_too(laptop: Laptop, provider: Provider, client: str) -> None:
    """RS256 keys; and a secret, which goes in HTTP Basic."""
    secret = laptop.home / "secret"
    secret.touch(mode=0o600)
    secret.write_text("a secret: 50% of it+more\n")
    more = {"client_secret": f"file:{secret}"} if client == "hoopjump-secret" else {}
    laptop.configure(provider.issuer, client_id=client, **more)
    log_in(laptop, name="bob")
    assert json.loads(laptop.hoopjump("whoami", "--json").out)["user"] == "bob"


def test_options_do_without_a_settings_file(laptop: Laptop, provider: Provider) -> None:
    """Plain http needs the file, so it is refused here, with the key that allows it."""
    said = laptop.hoopjump("login", "--issuer", provider.issuer, "--client-id", "hoopjump")
    assert said.status == 2
    assert "allow_http" in said.err


def test_a_browser_that_is_not_there_is_named(laptop: Laptop, provider: Provider) -> None:
    """With the ways that are left."""
    laptop.configure(provider.issuer)
    said = laptop.hoopjump("login", "--browser", "/nonexistent/browser --new-window")
    assert said.status == 1
    assert "\nhoopjump: /nonexistent/browser --new-window cannot be started: No such file or directory\n" in said.err
    assert "\nhoopjump: hint: name a program that opens a page (--browser), or log in with --device\n" in said.err


def test_the_browser_variable_is_heeded(laptop: Laptop, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every program that opens pages does."""
    laptop.configure(provider.issuer)
    monkeypatch.setenv("BROWSER", f"{browser()} %s")
    said = laptop.hoopjump("login")
    assert said.status == 0, said.err


def test_a_desktops_browser_is_not_waited_for_nor_heard(
    laptop: Laptop, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays open and talks on stdout, where HOOPJUMP_TOKEN=$(hoopjump login --token) would have it."""
    laptop.configure(provider.issuer)
    script, closed = tmp_path / "browser", tmp_path / "closed"
    waiting = f"while [ ! -e {closed} ]; do sleep 0.1; done"
    script.write_text(f'#!/bin/sh\necho Opening in existing browser session.\n{browser()} "$@"\n{waiting}\n')
    script.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(script))
    monkeypatch.setenv("DISPLAY", ":none")
    argv = [sys.executable, "-m", "hoopjump.cli.main", "login", "--quiet", "--token"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    finally:
        closed.touch()
    assert (done.returncode, done.stdout) == (0, f"{laptop.stored()['id_token']}\n"), done.stderr


@pytest.mark.parametrize("command", ["no-such-browser", "browser 'with one quote"])
def test_a_browser_that_is_none_is_said_so(laptop: Laptop, provider: Provider, command: str) -> None:
    """At once, and not when nobody has logged in in time."""
    laptop.configure(provider.issuer)
    said = laptop.hoopjump("login", "--browser", command)
    assert said.status == 1
    assert command in said.err
    assert "unforeseen" not in said.err


def test_no_argv_holds_more_than_a_page_of_this_machine(laptop: Laptop, provider: Provider, tmp_path: Path) -> None:
    """Whoever lists processes learns no state, no nonce and no challenge."""
    laptop.configure(provider.issuer)
    seen = tmp_path / "argv"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$@" >{seen}\nexec {browser()} "$@"\n')
    script.chmod(0o755)
    said = laptop.hoopjump("login", "--browser", str(script))
    assert said.status == 0, said.err
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/login/[A-Za-z0-9_-]{43}\n", seen.read_text())


def start_device() -> tuple[subprocess.Popen[str], list[str]]:
    """`hoopjump login --device` up to its prompt."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hoopjump.cli.main", "login", "--device", "--quiet"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stderr is not None
    return process, [process.stderr.readline() for _ in range(3)]


@pytest.mark.parametrize("complete", [True, False])
def test_a_device_login_is_approved_elsewhere(laptop: Laptop, provider: Provider, complete: bool) -> None:
    """By the page with the code in it, or by typing the code; --quiet shows what must be done all the same."""
    laptop.configure(provider.issuer)
    process, lines = start_device()
    found = re.search(r"open (\S+) and type (\S+)", lines[0])
    whole = re.search(r"open (\S+) and compare", lines[1])
    assert found and whole
    page = Person("bob").approve(whole[1]) if complete else Person("bob").approve(found[1], found[2])
    assert page.status_code == 200
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")
    assert json.loads(laptop.hoopjump("whoami", "--json").out)["user"] == "bob"


def test_a_refresh_brings_new_tokens_and_a_new_refresh_token(laptop: Laptop, tmp_path: Path) -> None:
    """Without a person; the provider rotates, and the old refresh token is good for nothing."""
    with Provider(tmp_path, lifetimes={"IdToken": 300}) as provider:
        laptop.configure(provider.issuer)
        log_in(laptop)
        before = laptop.stored()
        laptop.places.state.unlink()
        said = laptop.hoopjump("login", "--if-needed", "--quiet")
        assert (said.status, said.out, said.err) == (0, "", "")
        after = laptop.stored()
        assert after["refresh_token"] != before["refresh_token"]
        assert after["id_token"] != before["id_token"]
        answer = requests.post(
            f"{provider.issuer}/token",
            data={"grant_type": "refresh_token", "refresh_token": before["refresh_token"], "client_id": "hoopjump"},
            timeout=30,
        )
        assert answer.json()["error"] == "invalid_grant"


def test_many_at_once_use_a_refresh_token_once(laptop: Laptop, tmp_path: Path) -> None:
    """Several ssh that start together: all are logged in, and nobody is asked."""
    with Provider(tmp_path, lifetimes={"IdToken": 300}) as provider:
        laptop.configure(provider.issuer)
        log_in(laptop)
        laptop.places.state.unlink()
        argv = [sys.executable, "-m", "hoopjump.cli.main", "login", "--if-needed", "--quiet"]
        processes = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        assert [process.communicate(timeout=120)[1] for process in processes] == [""] * 4
        assert [process.returncode for process in processes] == [0] * 4


def test_new_keys_of_the_provider_are_taken_at_once(laptop: Laptop, tmp_path: Path) -> None:
    """The keys are asked for when a token is to be verified."""
    with Provider(tmp_path) as provider:
        laptop.configure(provider.issuer)
        log_in(laptop)
        provider.new_keys(keep=False)
        log_in(laptop)


def test_logout_forgets_and_revokes(laptop: Laptop, provider: Provider) -> None:
    """The refresh token is good for nothing afterwards, and no token lies about."""
    laptop.configure(provider.issuer)
    log_in(laptop)
    kept = laptop.stored()
    said = json.loads(laptop.hoopjump("logout", "--json").out)
    assert said == {"tokens_forgotten": True, "certificate_removed": False, "revoked": True}
    answer = requests.post(
        f"{provider.issuer}/token",
        data={"grant_type": "refresh_token", "refresh_token": kept["refresh_token"], "client_id": "hoopjump"},
        timeout=30,
    )
    assert answer.json()["error"] == "invalid_grant"
    assert kept["refresh_token"] not in laptop.files()
    assert laptop.hoopjump("whoami").status == 1
    again = laptop.hoopjump("logout")
    assert (again.status, again.err) == (0, "hoopjump: nobody was logged in\n")


def test_logout_forgets_when_the_provider_is_gone(laptop: Laptop, tmp_path: Path) -> None:
    """And says that the provider was not told."""
    with Provider(tmp_path) as provider:
        laptop.configure(provider.issuer)
        log_in(laptop)
    said = laptop.hoopjump("logout")
    assert said.status == 0
    assert "the provider was not told" in said.err
    assert not laptop.places.tokens.exists()


def test_the_access_token_can_be_the_one(laptop: Laptop, provider: Provider) -> None:
    """A JWT for the resource that was asked for, printed for HOOPJUMP_TOKEN."""
    laptop.configure(provider.issuer, token="access", resource="https://bastion.example.com")
    said = laptop.hoopjump("login", "--quiet", "--token", "--browser", browser())
    assert said.status == 0, said.err
    (tmp := laptop.home / "token").write_text(said.out)
    shown = json.loads(laptop.hoopjump("token", "inspect", tmp).out)
    assert shown["header"]["typ"] == "at+jwt"
    assert shown["claims"]["aud"] == "https://bastion.example.com"


def test_a_token_that_holds_is_used_while_the_provider_is_away(laptop: Laptop, tmp_path: Path) -> None:
    """It could not be refreshed, and need not yet be."""
    with Provider(tmp_path, lifetimes={"IdToken": 300}) as provider:
        laptop.configure(provider.issuer)
        log_in(laptop)
        provider.go_offline(600)
        use_what_is_kept(laptop, "is away or overrun: status 503")
    use_what_is_kept(laptop, "Connection refused")


def use_what_is_kept(laptop: Laptop, fault: str) -> None:
    laptop.places.state.unlink()
    assert laptop.hoopjump("login", "--if-needed", "--quiet").status == 0
    said = laptop.hoopjump("login")
    assert said.status == 1
    assert fault in said.err
    assert "hint: try again in a minute" in said.err
