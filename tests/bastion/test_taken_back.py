"""Tokens that are taken back end the logins they have let in: by name and by key, on both ways in."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from hoopjump.dev.identities import Identity
from hoopjump.dev.services import wait_for
from tests.bastion.proof import hoopjump, new_mark
from tests.bastion.town import CA, Town, opened, refused
from tests.bastion.ways import FORCE_COMMAND, JUMP, command, started
from tests.keys.provider import Provider, TokenKey

SECONDS: Final = 60.0
ECHO: Final = ("mybash", "echo hello")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared(idp: Provider, binding: TokenKey) -> Iterator[Town]:
    """A bastion where forwards need a token, which is then in the certificate, and sessions may bring their own."""
    with opened(idp, binding, session="optional", forward="required") as town:
        yield town


@pytest.fixture
def town(shared: Town) -> Iterator[Town]:
    """The same, with nothing taken back, and so again in the end."""
    yield shared
    take_back(shared)
    take_back(shared, of_ca=True)


@dataclass(frozen=True, slots=True)
class Client:
    """A client with a command that answers, and the login it belongs to."""

    town: Town
    process: subprocess.Popen[bytes]
    question: Any
    login: str

    def works(self) -> None:
        """The command is there, and what it says comes through."""
        self.question.touch()
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"here\n"

    def is_over(self, reason: str) -> dict[str, Any]:
        """Wait for its end; the audit trail has the reason."""
        event = self.town.bastion.wait_for_event(SECONDS, kind="login-cut", login=self.login)
        assert event["reason"] == reason
        assert self.process.wait(SECONDS) == 255
        self.town.bastion.wait_for_event(SECONDS, kind="login-closed", login=self.login)
        return event


@contextmanager
def working(town: Town, way: str, identity: Identity, token: str | None = None) -> Iterator[Client]:
    """A client of either way whose command runs; ``token`` is sent in the environment."""
    before = len(town.bastion.audit())
    question = new_mark(town.bastion)
    answering = f"while sleep 0.02; do if rm {question} 2>&-; then echo here; fi; done"
    argv = command(town.bastion, way, "mybash", answering, identity=identity, options=("-o", "SendEnv=HOOPJUMP_TOKEN"))
    environment = {**os.environ, **({"HOOPJUMP_TOKEN": token} if token else {})}
    with started(argv, stdin=subprocess.DEVNULL, env=environment) as process:
        question.touch()
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n", process.stderr.read() if process.stderr else None

        def login() -> str | None:
            events = (event for event in town.bastion.audit()[before:] if event["kind"] == "login-opened")
            return next((str(event["login"]) for event in events), None)

        ref = wait_for(login, SECONDS, "the login")
        assert ref is not None
        yield Client(town, process, question, ref)


def take_back(town: Town, *names: str, of_ca: bool = False) -> None:
    """Put these and nothing else on a list, as an editor does: a new file in the place of the old one."""
    path = town.files.revoked_of_ca if of_ca else town.files.revoked
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(f"{name}\n" for name in names))
    fresh.chmod(0o644)
    fresh.replace(path)


def new_name() -> str:
    """A `jti` that no other token here has."""
    return f"taken-back-{next(_numbers)}"


def logins(town: Town) -> dict[str, dict[str, Any]]:
    """What `hoopjump logins list` tells of each login."""
    rows = json.loads(hoopjump("logins", "list", "--json", config=town.bastion.config).stdout)
    return {row["login"]: row for row in rows}


def keys(town: Town, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """`hoopjump keys`."""
    return hoopjump("keys", *arguments, config=town.bastion.config, status=status)


# -- By name -----------------------------------------------------------------------------------------------------------


def test_a_session_s_own_token_is_taken_back(town: Town) -> None:
    """Its login ends within seconds, and so does no other: neither one without a token, nor one with another name."""
    stolen, kept = new_name(), new_name()
    with ExitStack() as stack:

        def client(user: str, token: str | None) -> Client:
            identity = town.bastion.certificate(user)
            return stack.enter_context(working(town, FORCE_COMMAND, identity, token))

        ended = client("alice", town.token(jti=stolen))
        stay = [client("alice", town.token(jti=kept)), client("bob", None)]
        (mark,) = logins(town)[ended.login]["tokens"]
        assert (mark["issuer"], mark["token_id"], mark["kid"]) == (town.idp.issuer, stolen, town.idp.key.kid)
        take_back(town, stolen)
        event = ended.is_over("token-revoked")
        assert event["detail"] == f"jti '{stolen}' of a token of '{town.idp.issuer}'"
        for other in stay:
            other.works()
        refused(town.ssh(*ECHO, token=town.token(jti=stolen)), "token-revoked")


@pytest.mark.parametrize("way", [FORCE_COMMAND, JUMP])
@pytest.mark.parametrize("by", ["its own name", "the original", "the original at hoopjump-ca's list"])
def test_a_token_in_the_certificate_is_taken_back(town: Town, way: str, by: str) -> None:
    """By its own name, or by that of the provider's token for which it was issued: sessions and forwards."""
    name = new_name()
    original = {"iss": town.idp.issuer, "sub": "alice", "jti": name}
    claims: dict[str, Any] = {"jti": name} if by == "its own name" else {"orig": original}
    # On the provider's own list a name is one of its own; hoopjump-ca's has those of all for whose tokens it issues.
    other = {**original, "iss": "https://else.example.com"} if by == "the original" else {**original, "jti": new_name()}
    with (
        working(town, way, town.certificate(**claims)) as ended,
        working(town, way, town.certificate("bob", orig=other)) as stays,
    ):
        take_back(town, name, of_ca=by != "the original")
        ended.is_over("token-revoked")
        stays.works()


def test_the_name_of_another_issuer_s_token_ends_nobody(town: Town) -> None:
    """Whoever may choose names at one provider ends no login of another's."""
    name, sign = new_name(), new_name()
    with (
        working(town, FORCE_COMMAND, town.bastion.certificate(), town.token(jti=name)) as stays,
        working(town, FORCE_COMMAND, town.certificate("bob", jti=sign)) as ended,
    ):
        take_back(town, name, sign, of_ca=True)
        # The same look at the lists has seen both names.
        ended.is_over("token-revoked")
        stays.works()


def test_a_name_that_is_taken_off_the_list_lets_in_again(town: Town) -> None:
    """What was ended stays so, and who comes anew goes on."""
    name = new_name()
    with working(town, FORCE_COMMAND, town.bastion.certificate(), town.token(jti=name)) as ended:
        take_back(town, name)
        ended.is_over("token-revoked")
    take_back(town)
    other = new_name()
    with (
        working(town, FORCE_COMMAND, town.bastion.certificate(), town.token(jti=name)) as again,
        working(town, FORCE_COMMAND, town.bastion.certificate("bob"), town.token("bob", jti=other)) as ended,
    ):
        take_back(town, other)
        ended.is_over("token-revoked")
        again.works()


@pytest.mark.parametrize("harm", ["gone", "no text"])
def test_a_list_that_cannot_be_read_ends_nobody(town: Town, harm: str) -> None:
    """It refuses everybody who comes, as before, and loudly; once it can be read again it counts again."""
    name = new_name()
    with working(town, FORCE_COMMAND, town.bastion.certificate(), town.token(jti=name)) as client:
        before = town.bastion.daemon_log()
        if harm == "gone":
            town.files.revoked.unlink()
        else:
            town.files.revoked.write_bytes(name.encode() + b"\n\xff\n")
        complaint = "tokens are refused, for nobody knows which were revoked"
        wait_for(lambda: town.bastion.find_log(complaint, before), SECONDS, "a look at the list")
        client.works()
        refused(town.ssh(*ECHO, token=town.token(jti=new_name())), "token-revoked")
        client.works()
        # The beginning of a longer name: somebody is still writing.
        town.files.revoked.write_text(f"{new_name()}\n{name}")
        wait_for(lambda: town.bastion.find_log("its last line has no end", before), SECONDS, "another look")
        client.works()
        take_back(town, name)
        client.is_over("token-revoked")


@pytest.mark.parametrize("way", [FORCE_COMMAND, JUMP])
def test_what_is_taken_back_while_no_daemon_runs_ends_with_its_start(town: Town, way: str) -> None:
    """The login's record has outlived it."""
    name = new_name()
    certificate = town.certificate(orig={"iss": town.idp.issuer, "jti": name})
    with working(town, way, certificate) as ended, working(town, way, town.certificate("bob")) as stays:
        town.bastion.stop_daemon()
        try:
            take_back(town, name)
            ended.works()
        finally:
            town.bastion.start_daemon()
        ended.is_over("token-revoked")
        stays.works()


# -- By key ------------------------------------------------------------------------------------------------------------


def test_the_logins_of_a_dropped_key_are_told_and_ended_when_that_is_wanted(town: Town) -> None:
    """On both ways in; those of other keys go on, and the same key lets in again once that is taken back."""
    with (
        working(town, FORCE_COMMAND, town.certificate()) as session,
        working(town, JUMP, town.certificate("bob")) as jump,
        working(town, FORCE_COMMAND, town.bastion.certificate(), town.token()) as other,
    ):
        wait_for(lambda: len(logins(town)) == 3, SECONDS, "the end of earlier logins")
        done = keys(town, "drop", "binding")
        assert done.stderr.splitlines() == [
            f"hoopjump: the key binding of {CA} is refused from now on",
            "hoopjump: 2 logins that it has let in go on; `hoopjump keys drop --end-logins binding` ends them",
        ]
        for client in (session, jump, other):
            client.works()
        done = keys(town, "drop", "--end-logins", "--json", "binding")
        told = json.loads(done.stdout)
        assert (told["of"], told["logins"], told["ending"]) == ([CA], 2, True)
        assert "2 logins that it has let in are being ended" in done.stderr
        for client in (session, jump):
            event = client.is_over("token-key-dropped")
            assert event["detail"] == f"key 'binding' dropped by uid {os.geteuid()}"
        other.works()
        keys(town, "drop", "--undo", "binding")
        with working(town, JUMP, town.certificate()) as again:
            take_back(town, gone := new_name())
            refused(town.ssh(*ECHO, token=town.token(jti=gone)), "token-revoked")
            again.works()
            other.works()


def test_a_key_that_leaves_its_set_ends_no_login_until_that_is_wanted(town: Town) -> None:
    """Providers change their keys all the time. Where one did so because it was stolen, its name is enough."""
    with ExitStack() as stack, working(town, FORCE_COMMAND, town.certificate()) as client:
        wait_for(lambda: len(logins(town)) == 1, SECONDS, "the end of earlier logins")
        town.files.publish(TokenKey("next"))
        stack.callback(keys, town, "refresh")
        stack.callback(town.files.publish, town.binding)
        keys(town, "refresh")
        refused(town.ssh(*ECHO, identity=town.certificate()), "token-key-unknown")
        client.works()
        done = keys(town, "drop", "binding", status=1)
        assert "one login that it has let in goes on" in done.stderr
        assert "no issuer has a key of the name 'binding'" in done.stderr
        client.works()
        done = keys(town, "drop", "--end-logins", "binding")
        assert done.stderr == "hoopjump: one login that it has let in is being ended\n"
        client.is_over("token-key-dropped")
