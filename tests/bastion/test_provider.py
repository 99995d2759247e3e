"""A real identity provider, hoopjump-ca and sshd while keys change, the provider is away, and clocks differ."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from hoopjump.cli import daemon_socket
from hoopjump.daemon import processes
from hoopjump.decision.jose import decode_segment
from hoopjump.decision.keys import read_public_key
from hoopjump.decision.presented import key_thumbprint
from hoopjump.dev.backend import DOMAIN
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity, keygen
from hoopjump.dev.place import Place
from hoopjump.dev.services import wait_for
from hoopjump.identity import code_flow
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.http import Http
from hoopjump.identity.provider import discover
from hoopjump.identity.settings import LoginSettings
from hoopjump.identity.tokens import Client
from tests.ca.yard import BASTION, URL, Yard, token_signer
from tests.conftest import need_bastion
from tests.keys.provider import TokenKey
from tests.oidc.provider import Person, Provider

ECHO: Final = ("mybash", "echo hello")
PEOPLE: Final = {"alice": {"email": f"alice@{DOMAIN}", "email_verified": True}}
SENT: Final = ("-o", "SendEnv=HOOPJUMP_TOKEN")

# Issuers of the tests' own, whose tokens have any dates; the difference of clocks leaves room for a slow machine.
CLERK, BINDER = "https://clerk.example.com", "https://binder.example.com"
LEEWAY: Final = 300
NEAR, FAR = LEEWAY - 100, LEEWAY + 100

KEPT: Final = 3  # seconds, for the provider that is away for longer


class Account:
    """Alice at a provider: she logs in once, and every further token is a refreshed one."""

    def __init__(self, provider: Provider) -> None:
        http = Http(allow_http=True)
        settings = LoginSettings(issuer=provider.issuer, client_id="hoopjump", allow_http=True)
        self._client = Client(http, discover(http, provider.issuer), settings)
        self._tokens = code_flow.log_in(self._client, self._browse)

    def _browse(self, url: str) -> None:
        Person("alice").open(url)

    def token(self) -> str:
        """A fresh token."""
        self._tokens = self._client.refresh(self._tokens)
        return self._tokens.id_token


def kid(token: str) -> str:
    """The name of the key that signed a token."""
    return str(json.loads(decode_segment(token.partition(".")[0].encode()))["kid"])


@dataclass(slots=True)
class Town:
    """A bastion where everybody needs a token: of two providers, of hoopjump-ca, and of issuers of the tests' own."""

    bastion: Bastion
    provider: Provider
    other: Provider  # whose keys are kept for KEPT seconds only
    yard: Yard
    own: TokenKey
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def made(self, issuer: str, **claims: int | dict[str, str]) -> str:
        """A token of the tests' own issuers; it would hold for ten minutes."""
        now = int(time.time())
        usual = {"iss": issuer, "aud": BASTION, "sub": self.bastion.email("alice"), "iat": now, "exp": now + 600}
        return self.own.sign({**usual, "jti": f"own{next(self._numbers)}", **claims}).decode()

    def holding(self, **claims: int) -> Identity:
        """A certificate with a token of the tests' own bound to it."""
        identity = self.bastion.certificate()
        jkt = key_thumbprint(read_public_key(identity.public.read_bytes()))
        token = self.made(BINDER, cnf={"jkt": jkt}, **claims)
        ca, name = str(self.bastion.user_ca.key), self.bastion.email("alice")
        extension = f"extension:jwt@hoopjump={token}"
        keygen("-q", "-s", ca, "-I", "x", "-n", name, "-V", "-1m:+1h", "-O", extension, str(identity.public))
        return identity

    def certified(self, token: str) -> Identity:
        """A key with the certificate that hoopjump-ca gives for a provider's token, with its own token in it."""
        key = self.yard.key(f"user{next(self._numbers)}")
        path = key.with_name(f"{key.name}-cert.pub")
        path.write_text(self.yard.certify(key, token, embed_token=True).json["certificate"] + "\n")
        return Identity(key, path)

    def ssh(self, identity: Identity | None = None, token: str | None = None) -> subprocess.CompletedProcess[bytes]:
        """A session; ``token`` goes in its environment."""
        return run(self.bastion.ssh_command(*ECHO, identity=identity, options=SENT), token)

    def ask(self, action: str) -> dict[str, dict[str, Any]]:
        """`hoopjump keys`: the rows by issuer."""
        answer = daemon_socket.ask(self.bastion.socket, "keys", ("action", action), seconds=30)
        return {row["issuer"]: row for row in answer["issuers"]}

    def state(self, provider: Provider) -> str:
        """What `hoopjump keys list` says of a provider's keys."""
        return str(self.ask("list")[provider.issuer]["state"])


def run(argv: Sequence[str], token: str | None = None) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **({"HOOPJUMP_TOKEN": token} if token else {})}
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60, env=env)


def let_in(done: subprocess.CompletedProcess[bytes]) -> bool:
    return (done.returncode, done.stdout.strip()) == (0, b"hello")


def refused(done: subprocess.CompletedProcess[bytes], code: str) -> str:
    """What was said to somebody who was refused for this reason."""
    said = done.stderr.decode()
    assert done.returncode not in (0, 255), said
    assert done.stdout == b""
    assert f"({code}, ref " in said
    return said


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Everything started, and the first keys are there."""
    need_bastion()
    directory, own = tmp_path_factory.mktemp("town"), TokenKey("own")
    token_signer(directory, "bound")
    sets = {"bound": (directory / "bound.jwks").read_text(), "own": json.dumps({"keys": [own.jwk]})}
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("NO_PROXY", "127.0.0.1,localhost")
        public = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Place.here().parent)))
        public.chmod(0o755)
        for name, text in sets.items():
            (public / name).write_text(text)
            (public / name).chmod(0o644)
        for name in ("provider", "other"):
            (directory / name).mkdir()
        provider, other = (stack.enter_context(Provider(directory / name, PEOPLE)) for name in ("provider", "other"))
        asked = {"audiences": ["hoopjump"], "user_claim": "email", "allow_http": True, "allow_private": True}
        known = {"audiences": [BASTION], "user_attribute": "email"}
        issuers = [
            {"issuer": provider.issuer, "user_attribute": "email", **asked},
            {"issuer": other.issuer, "user_attribute": "email", "kept": KEPT, **asked},
            {"issuer": URL, "keys": f"file:{public}/bound", "bound": True, **known},
            {"issuer": CLERK, "keys": f"file:{public}/own", "leeway": LEEWAY, **known},
            {"issuer": BINDER, "keys": f"file:{public}/own", "leeway": LEEWAY, "bound": True, **known},
        ]
        settings = {"tokens": {"session": "required", "forward": "required", "issuer": issuers}}
        bastion = stack.enter_context(Bastion(settings=settings))
        bastion.gateway.faults(early_close=False)
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in asked.items())
        sections = {
            "[certificate]": f'ca_key = "file:{bastion.user_ca.key}"',
            "[[issuer]]": f'issuer = "{provider.issuer}"\nkeys = "discovery"\n{lines}',
        }
        yard = stack.enter_context(Yard(directory, sections))
        made = Town(bastion, provider, other, yard, own)
        wait_for(lambda: {row["state"] for row in made.ask("list").values()} == {"fresh"}, 30, "the first keys")
        yield made


# -- Clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dates", "code"),
    [
        ({"exp": -NEAR}, None),
        ({"exp": -FAR}, "token-expired"),
        ({"nbf": NEAR}, None),
        ({"nbf": FAR}, "token-not-yet-valid"),
        ({"iat": NEAR}, None),
        ({"iat": FAR}, "token-issued-in-future"),
    ],
    ids=lambda value: "-".join(f"{name}{date:+}" for name, date in value.items()) if isinstance(value, dict) else "",
)
def test_clocks_may_differ_by_the_leeway(town: Town, dates: dict[str, int], code: str | None) -> None:
    """Both ways, for a token that is sent and for one in a certificate, and by no more than that."""
    issued = int(time.time()) - FAR - 10
    claims = {"iat": issued, **{name: int(time.time()) + date for name, date in dates.items()}}
    for done in (town.ssh(token=town.made(CLERK, **claims)), town.ssh(town.holding(**claims))):
        if code is None:
            assert let_in(done), done.stderr
        else:
            refused(done, code)


@contextlib.contextmanager
def connected(town: Town, identity: Identity) -> Iterator[Callable[[], list[str]]]:
    """A connection that is let in, and stays; gives the argv of a session in it."""
    argv = town.bastion.ssh_command(identity=identity)
    control = town.bastion.directory / "client" / f"p{identity.key.name}"
    # What a session may send is the connection's to say as well.
    words = [*argv[:3], "-o", f"ControlPath={control}", *SENT]
    master = subprocess.Popen(
        [*words, "-o", "ControlMaster=yes", "-N", "bastion"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(control.exists, what="the login")
        # Where the connection is gone, there is no other one instead.
        yield lambda: [*words, "-o", "ProxyCommand=false", "bastion", *ECHO]
    finally:
        master.kill()
        master.wait()


def test_a_token_that_ends_after_the_login_starts_no_session(town: Town) -> None:
    """One that is sent is refused; with one in the certificate the connection ends, be the daemon ever so busy."""
    ends = int(time.time()) + 12
    dates = {"iat": ends - 3600, "exp": ends - LEEWAY}
    token, holding = town.made(CLERK, **dates), town.holding(**dates)
    with connected(town, town.bastion.certificate()) as session, connected(town, holding) as bound_session:
        assert time.time() < ends
        wait_for(lambda: time.time() >= ends - 1, what="the last second")
        daemon, before = town.bastion.daemon.pid, len(town.bastion.audit())
        os.kill(daemon, signal.SIGSTOP)
        try:
            wait_for(lambda: time.time() >= ends, what="the end of the token")
            asking = subprocess.Popen(bound_session(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            wait_for(lambda: asking.poll() is not None or asked(town), what="the session's question")
        finally:
            os.kill(daemon, signal.SIGCONT)
        out, _ = asking.communicate(timeout=60)
        assert (asking.returncode != 0, out) == (True, b"")
        town.bastion.wait_for_event(kind="login-cut", deadline=ends)
        refused(run(session(), token), "token-expired")
        assert "session-started" not in [event["kind"] for event in town.bastion.audit()[before:]]
        assert let_in(run(session(), town.made(CLERK)))


def asked(town: Town) -> bool:
    """Whether a session's hook runs."""
    sshd = processes.find(town.bastion.sshd.pid)
    assert sshd is not None
    lines = []
    for process in processes.descendants(sshd):
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
    return any(b"/lib/hook\0session" in line for line in lines)


# -- The provider is away --------------------------------------------------------------------------------------------


def test_a_provider_may_be_away_for_as_long_as_its_keys_are_kept(town: Town) -> None:
    """Logins go on with tokens nobody has seen before; later ones are refused, which is told, until it is back."""
    bastion = town.bastion
    here, there = Account(town.provider), Account(town.other)
    unseen, too_late = [here.token() for _ in range(2)], there.token()
    bound = town.certified(here.token())
    for provider in (town.provider, town.other):
        provider.go_offline(3600)
    before = bastion.log()
    rows = town.ask("refresh")
    assert rows[town.provider.issuer]["state"] == "kept"
    assert "status 503" in rows[town.provider.issuer]["fault"]
    assert let_in(town.ssh(token=unseen[0]))
    assert let_in(town.ssh(bound))

    wait_for(lambda: town.state(town.other) == "refused", 30, "the end of the keys")
    said = refused(town.ssh(token=too_late), "token-keys-unavailable")
    assert "The keys of the token's issuer cannot be had just now; please try again." in said
    assert bastion.find_log(rf"keys of {town.other.issuer} are too old .*token-keys-unavailable", before)
    assert bastion.find_log(rf"keys of {town.provider.issuer} are too old", before) is None
    assert let_in(town.ssh(token=unseen[1]))
    assert let_in(run(bastion.ssh_command(*ECHO, identity=bound, options=("-J", "bastion"), host="gateway")))

    for provider in (town.provider, town.other):
        provider.go_offline(0)
    # Its keys were asked for less than ten seconds ago, perhaps; nobody but the next token need ask.
    wait_for(lambda: let_in(town.ssh(token=too_late)), 60, "the provider that is back")
    assert town.ask("refresh")[town.provider.issuer]["state"] == "fresh"


def test_a_bastion_that_restarts_while_the_provider_is_away_loses_nobody_a_login(town: Town) -> None:
    """Nor does a restart let anybody in for longer: the keys whose time is over stay refused, and it is said why."""
    bastion = town.bastion
    here, there = Account(town.provider), Account(town.other)
    unseen, too_late = here.token(), there.token()
    bound = town.certified(here.token())
    for provider in (town.provider, town.other):
        provider.go_offline(3600)
    town.ask("refresh")
    bastion.restart_daemon()
    assert town.ask("refresh")[town.provider.issuer]["state"] == "kept"
    assert let_in(town.ssh(token=unseen))
    assert let_in(run(bastion.ssh_command(*ECHO, identity=bound, options=("-J", "bastion"), host="gateway")))

    wait_for(lambda: town.state(town.other) == "refused", 30, "the end of the keys")
    refused(town.ssh(token=too_late), "token-keys-unavailable")
    bastion.kill_daemon()
    assert town.ask("refresh")[town.other.issuer]["state"] == "refused"
    refused(town.ssh(token=too_late), "token-keys-unavailable")
    assert let_in(town.ssh(token=unseen))

    for provider in (town.provider, town.other):
        provider.go_offline(0)
    wait_for(lambda: let_in(town.ssh(token=too_late)), 60, "the provider that is back")
    assert town.ask("refresh")[town.provider.issuer]["state"] == "fresh"


# -- Keys change -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Attempts:
    """Logins that go on, each with what had to come of it: keys are going, and then they are gone."""

    going: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    admitted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def one(self, argv: Sequence[str], key: str, token: str | None) -> None:
        """A login with a token that this key signed, once at least."""
        gone = self.gone
        done = run(argv, token)
        if let_in(done):
            self.admitted.append(key)
            if key in gone:
                self.wrong.append(f"{key} admitted")
        else:
            self.refused.append(key)
            if key not in self.going or b"(token-key-unknown, ref " not in done.stderr:
                self.wrong.append(f"{key} refused: {done.stderr!r}")

    def go_on(self, logins: Iterator[tuple[Sequence[str], str, str | None]]) -> threading.Thread:
        """Login after login, until it is over."""

        def work() -> None:
            try:
                for login in logins:
                    self.one(*login)
                    if self.over.is_set():
                        break
            except Exception as error:
                self.wrong.append(repr(error))
                raise

        thread = threading.Thread(target=work)
        thread.start()
        return thread


def test_keys_change_while_logins_go_on(town: Town) -> None:
    """No login is refused that should be let in, and none with a key that was taken away is let in."""
    bastion, account = town.bastion, Account(town.provider)
    first = account.token()
    plain = bastion.ssh_command(*ECHO, options=SENT)
    identity = town.certified(first)
    ways = (
        bastion.ssh_command(*ECHO, identity=identity),
        bastion.ssh_command(*ECHO, identity=identity, options=("-J", "bastion"), host="gateway"),
    )

    def sent() -> Iterator[tuple[Sequence[str], str, str | None]]:
        nonlocal account
        while True:
            try:
                fresh = account.token()
            except IdentityError as error:
                # Signed with a key that was taken out before it could be looked up; that costs a new login.
                if not attempts.going or "token-key-unknown" not in error.message:
                    raise
                account = Account(town.provider)
                continue
            for token in (fresh, first):
                yield plain, kid(token), token

    attempts, old = Attempts(), kid(first)
    threads = [
        attempts.go_on(sent()),
        # These stand on a key of hoopjump-ca, which stays.
        attempts.go_on((way, "bound", None) for way in itertools.cycle(ways)),
    ]

    def until(key: str, done: Callable[[], list[str]]) -> None:
        count = done().count(key) + 2
        wait_for(lambda: done().count(key) >= count or attempts.wrong, 60, f"logins with {key}")

    keys = [old]
    try:
        for keep in (True, True, False):
            town.provider.announce_keys()
            town.ask("refresh")
            if not keep:
                attempts.going = frozenset(keys)
            town.provider.new_keys(keep=keep)
            keys.append(kid(Account(town.provider).token()))
            until(keys[-1], lambda: attempts.admitted)
            until("bound", lambda: attempts.admitted)
        town.ask("refresh")
        attempts.gone = attempts.going
        until(old, lambda: attempts.refused)
        until("bound", lambda: attempts.admitted)
    finally:
        attempts.over.set()
        for thread in threads:
            thread.join()
    assert attempts.wrong == []
    assert len(set(keys)) == 4
    # hoopjump-ca asks for keys too: the new one gets a certificate, and with it the old one gets none any more.
    fresh = account.token()
    key = town.yard.key("late")
    wait_for(lambda: town.yard.certify(key, fresh, embed_token=True).status == 200, 30, "a certificate")
    assert town.yard.certify(key, first).outcome == (401, "token-key-unknown")
