"""What stands behind the bastion fails: nobody gets further than they may, and everybody reads why.

In each state a new user's command and forward are tried, an administrator logs in as ever (where there are
administrators: as root), and no log holds a trace. Users are new in every test, since answers about them are kept.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.gateway import UserSpec
from hoopjump.dev.identities import Identity
from hoopjump.dev.place import Place
from hoopjump.dev.services import wait_for
from tests.bastion.below import principals_hooks
from tests.bastion.front import Front
from tests.bastion.told import Told, explained, told
from tests.bastion.ways import PROMPT, started, status_of, typed
from tests.conftest import need_bastion
from tests.tls import LOOPBACK, Authority

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Fault:
    """A way in which the gateway's API fails, and what users are told of it."""

    switches: dict[str, object]
    code: str


FAULTS: Final = {
    "down": Fault({"api_down": True}, "gateway-unavailable"),
    "slow": Fault({"api_delay": 10}, "gateway-slow"),
    "error-500": Fault({"api_status": 500}, "gateway-unavailable"),
    "error-401": Fault({"api_status": 401}, "gateway-unavailable"),
    "garbage": Fault({"api_garbage": True}, "gateway-unavailable"),
}
HEALTHY: Final[dict[str, object]] = {
    "api_down": False,
    "api_delay": 0,
    "api_delay_for": "",
    "api_status": 0,
    "api_garbage": False,
    "ssh_down": False,
    "ssh_hang": False,
}


def newcomer(bastion: Bastion) -> str:
    """A user of whom the daemon has never heard."""
    name = f"new{next(_numbers)}"
    bastion.gateway.add_user(UserSpec(bastion.email(name), groups=("dev",)))
    return name


def held_events(bastion: Bastion, user: str) -> list[dict[str, Any]]:
    """The events of this user's logins that were let in to nothing."""
    principals = [bastion.email(user)]
    return [
        event
        for event in bastion.audit()
        if event["kind"] == "held" and event["certificate"]["principals"] == principals
    ]


def try_forward(bastion: Bastion, identity: Identity) -> subprocess.CompletedProcess[bytes]:
    """A forward to the gateway's SSH server, which speaks first."""
    target = f"{bastion.gateway.ready.ssh_host}:{bastion.gateway.ssh_port}"
    return bastion.ssh(options=("-W", target), identity=identity)


def administrators_get_in(bastion: Bastion) -> None:
    """An account outside of our block; an ordinary user's bastion has none."""
    if not bastion.place.rootless:
        done = bastion.ssh("id", "-un", account="admin", identity=bastion.workshop.key("admin"))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"admin\n", b"")


def held_up(bastion: Bastion, identity: Identity, proof: Path) -> Told:
    """Try what a user would, in a state in which nothing may come of it; what the user was told."""
    before = bastion.log()
    done = bastion.ssh("mybash", f"touch {proof}", identity=identity)
    refusal = told(done.stderr)
    assert (done.returncode, done.stdout) == (refusal.reason.value.exit_status, b"")
    assert not proof.exists()
    assert refusal.code in explained(bastion, refusal.ref)
    assert bastion.find_log(rf"ref={refusal.ref}\b", before)
    administrators_get_in(bastion)
    # A denial would count against the client's address (sshd_config(5) PerSourcePenalties).
    assert bastion.find_log(r"Failed publickey|Traceback", before) is None
    return refusal


@pytest.fixture
def fails(bastion: Bastion) -> Iterator[Callable[..., None]]:
    """Sets faults of the gateway; in the end it is healthy again."""
    yield bastion.gateway.faults
    bastion.gateway.faults(**HEALTHY)


@pytest.fixture(params=FAULTS.values(), ids=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> Fault:
    """Each way in which the API fails."""
    found: Fault = request.param
    return found


# -- The gateway's API -----------------------------------------------------------------------------------------------


def test_a_user_who_cannot_be_looked_up_is_held_and_told_why(
    bastion: Bastion, fails: Callable[..., None], fault: Fault, common_ground: Path
) -> None:
    """Possession is proven and nothing is open: neither a command nor a forward; the reference finds the event."""
    user = newcomer(bastion)
    identity = bastion.certificate(user)
    fails(**fault.switches)
    assert held_up(bastion, identity, common_ground / "ran").code == fault.code
    done = try_forward(bastion, identity)
    assert done.stdout == b""
    assert b"administratively prohibited" in done.stderr
    assert {event["reason"] for event in held_events(bastion, user)} == {fault.code}
    fails(**HEALTHY)
    assert bastion.ssh("mybash", "echo again", identity=identity).stdout == b"again\n"


def test_a_user_who_is_known_still_reaches_the_gateway(
    bastion: Bastion, patient_gateway: None, fails: Callable[..., None], fault: Fault, common_ground: Path
) -> None:
    """An answer that is kept lets in; of a role the gateway must be asked, and where it cannot be, that is said.

    Where its answer is merely late, one that is half a minute old will do.
    """
    identity = bastion.certificate(newcomer(bastion))
    assert bastion.ssh("mybash", "true", identity=identity).returncode == 0
    fails(**fault.switches)
    assert bastion.jump("mybash", "echo through", identity=identity).stdout == b"through\n"
    if fault.code == "gateway-slow":
        assert bastion.ssh("mybash", "echo in", identity=identity).stdout == b"in\n"
    else:
        assert held_up(bastion, identity, common_ground / "ran").code == fault.code


def test_a_session_waits_for_a_slow_gateway_longer_than_a_login_may(
    bastion: Bastion, fails: Callable[..., None]
) -> None:
    """While sshd waits there is little time; who was let in to nothing for want of it gets his answer all the same."""
    user = newcomer(bastion)
    fails(api_delay=2, api_delay_for=bastion.email(user))
    done = bastion.ssh("mybash", "echo slowly", identity=bastion.certificate(user))
    assert (done.returncode, done.stdout) == (0, b"slowly\n"), done.stderr
    assert {event["reason"] for event in held_events(bastion, user)} == {"gateway-slow"}


def test_one_slow_call_holds_up_nobody_else(bastion: Bastion, fails: Callable[..., None]) -> None:
    """While the gateway thinks about one user, another gets in and works: both known and unknown ones."""
    slow = newcomer(bastion)
    fails(api_delay=10, api_delay_for=bastion.email(slow))
    with started(bastion.ssh_command("mybash", "true", identity=bastion.certificate(slow))) as client:
        # The daemon has given up waiting for the call, which goes on for seconds.
        wait_for(lambda: held_events(bastion, slow), what="the login to be held")
        for user in ("bob", newcomer(bastion)):
            done = bastion.ssh("mybash", "echo $HOOP_USER_EMAIL", identity=bastion.certificate(user))
            assert (done.returncode, done.stdout) == (0, f"{bastion.email(user)}\n".encode()), done.stderr
        _, stderr = client.communicate(timeout=30)
        assert told(stderr).code == "gateway-slow"
        assert client.returncode == 75


# -- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The CA that gateway.ca_file names."""
    return Authority("our CA")


@pytest.fixture(scope="module")
def front(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An https front of the gateway with the right certificate."""
    with Front(authority.issue(tmp_path_factory.mktemp("front"))) as running:
        yield running


@pytest.fixture(scope="module")
def encrypted(front: Front, authority: Authority) -> Iterator[Bastion]:
    """A bastion that reaches its gateway by https."""
    need_bastion()
    place = Place.here().parent
    directory = Path(tempfile.mkdtemp(prefix="tls-", dir=place))
    directory.chmod(0o755)
    file = authority.write(directory / "ca.pem")
    section = {"api_url": f"https://{LOOPBACK}:{front.port}", "ca_file": str(file)}
    with Bastion(settings={"gateway": section}) as running:
        front.target = int(running.gateway.api_url.rpartition(":")[2])
        yield running
    shutil.rmtree(directory)


@pytest.fixture(params=["another-authority", "another-address", "expired", "no-tls"])
def wrong_side(
    request: pytest.FixtureRequest, front: Front, authority: Authority, tmp_path: Path
) -> Iterator[ssl.SSLContext | None]:
    """What a stranger in the gateway's place may present; afterwards it is the gateway again."""
    sides: dict[str, Callable[[], ssl.SSLContext | None]] = {
        "another-authority": lambda: Authority("our CA").issue(tmp_path),
        "another-address": lambda: authority.issue(tmp_path, "127.0.0.2"),
        "expired": lambda: authority.issue(tmp_path, expired=True),
        "no-tls": lambda: None,
    }
    yield sides[request.param]()
    front.present(authority.issue(tmp_path))


def test_tls_that_proves_nothing_is_no_gateway(
    encrypted: Bastion, front: Front, wrong_side: ssl.SSLContext | None
) -> None:
    """Nobody is believed without a certificate of ours, and the API key is told to nobody."""
    identity = encrypted.certificate(newcomer(encrypted))
    proof = encrypted.directory / "client" / "proof"
    assert encrypted.ssh("mybash", "echo in", identity=encrypted.certificate(newcomer(encrypted))).stdout == b"in\n"
    front.present(wrong_side)
    refusal = held_up(encrypted, identity, proof)
    assert refusal.code == "gateway-unavailable"
    assert "TLS failed" in explained(encrypted, refusal.ref)
    assert b"administratively prohibited" in try_forward(encrypted, identity).stderr
    assert front.heard == 0


# -- The gateway's SSH server ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own() -> Iterator[Bastion]:
    """A bastion whose daemon and gateway come and go, and whose sessions are impatient."""
    need_bastion()
    with Bastion(settings={"handoff": {"connect_timeout": 3}}) as running:
        yield running


@pytest.fixture(params=["ssh_down", "ssh_hang", "another-host-key"])
def beyond_reach(own: Bastion, request: pytest.FixtureRequest) -> Iterator[str]:
    """The API answers, and nobody gets in over SSH."""
    if request.param == "another-host-key":
        with known_hosts(own, own.gateway.host_key_line.replace(gateway_key(own), stranger(own))):
            yield request.param
    else:
        own.gateway.faults(**{request.param: True})
        yield request.param
        own.gateway.faults(**HEALTHY)


def gateway_key(bastion: Bastion) -> str:
    return bastion.gateway.ready.host_key.split()[1]


def stranger(bastion: Bastion) -> str:
    return bastion.workshop.key("stranger").public.read_text().split()[1]


@contextmanager
def known_hosts(bastion: Bastion, text: str) -> Iterator[None]:
    """Other host keys than the gateway's are pinned for a while."""
    path = bastion.directory / "etc" / "gateway_known_hosts"
    before = path.read_text()
    path.write_text(text + "\n")
    yield
    path.write_text(before)


def test_an_ssh_server_that_lets_nobody_in_has_run_nothing(own: Bastion, beyond_reach: str) -> None:
    """The session ends with a sentence and 69, not with the 255 that may mean anything."""
    before = own.log()
    proof = own.directory / "client" / "beyond"
    done = own.ssh("mybash", f"touch {proof}")
    refusal = told(done.stderr)
    assert (done.returncode, refusal.code) == (69, "gateway-unavailable")
    assert not proof.exists()
    assert "gateway-unavailable" in explained(own, refusal.ref)
    administrators_get_in(own)
    assert own.find_log("Traceback", before) is None


def test_a_terminal_is_refused_where_nobody_answers(own: Bastion) -> None:
    """A session that would become ssh is told before, with a reason and a reference; what is up again is used again."""
    argv = own.ssh_command("mybash", options=("-t",))
    own.restart_daemon()  # It would believe for half a minute what it has seen.
    own.gateway.faults(ssh_down=True)
    try:
        with typed(argv) as child:
            assert status_of(child) == 69
            assert "(gateway-unavailable, ref " in str(child.before)
    finally:
        own.gateway.faults(**HEALTHY)
    with typed(argv) as child:
        child.expect(PROMPT)


@pytest.mark.parametrize("beyond_reach", ["ssh_hang", "another-host-key"], indirect=True)
def test_a_terminal_that_cannot_be_had_ends_with_what_ssh_says(own: Bastion, beyond_reach: str) -> None:
    """The session has become ssh by then; its own words and 255 are what the user sees, its end is on record."""
    with typed(own.ssh_command("mybash", options=("-t",))) as child:
        assert status_of(child) == 255
        said = str(child.before)
    assert {"ssh_hang": "timed out", "another-host-key": "Host key verification failed"}[beyond_reach] in said
    assert "Traceback" not in said


def test_a_gateway_whose_host_key_nobody_knows_is_not_talked_to(own: Bastion) -> None:
    """Before `hoopjump gateway sync` no session goes anywhere."""
    with known_hosts(own, "# nothing yet"):
        done = own.ssh("mybash", "true")
    assert (done.returncode, told(done.stderr).code) == (69, "gateway-host-key-unknown")
    assert "hoopjump gateway sync" in explained(own, told(done.stderr).ref)


# -- The daemon ------------------------------------------------------------------------------------------------------


@contextmanager
def open_login(bastion: Bastion) -> Iterator[Callable[..., subprocess.CompletedProcess[bytes]]]:
    """A login that stays (ControlMaster); gives what runs a further session of it."""
    argv = bastion.ssh_command(options=("-N",))
    control = bastion.directory / "client" / f"m{next(_numbers)}"
    words = ["-o", f"ControlPath={control}"]

    def session(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [*argv[:3], *words, "bastion", *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)

    with started([*argv[:3], *words, "-o", "ControlMaster=yes", *argv[3:]]):
        wait_for(control.exists, what="the login")
        yield session


def denied(bastion: Bastion, proof: Path, logged: str) -> None:
    """Nobody is let in, and the system log says why; administrators are none of it."""
    before = bastion.log()
    identity = bastion.certificate()
    done = bastion.ssh("mybash", f"touch {proof}", identity=identity)
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"Permission denied (publickey)" in done.stderr
    assert b"Permission denied" in try_forward(bastion, identity).stderr
    assert not proof.exists()
    if not bastion.place.rootless:
        line = bastion.find_log(r"hoopjump-hook\[\d+\]: principals denied for account hoop", before) or ""
        assert logged in line
        assert re.search(r"\(ref [0-9a-f]{8}\)", line)
    administrators_get_in(bastion)
    assert bastion.find_log("Traceback", before) is None


def unserved(done: subprocess.CompletedProcess[bytes], status: int, bastion: Bastion, before: str) -> None:
    """A session of a login that stands, while no daemon answers."""
    assert (done.returncode, done.stdout) == (status, b"")
    found = re.fullmatch(
        r"hoopjump: .*does not answer; please try again \(ref ([0-9a-f]{8})\)\r?\n", done.stderr.decode()
    )
    assert found, done.stderr
    if not bastion.place.rootless:
        assert bastion.find_log(f"hoopjump-hook.*session.*ref {found[1]}", before)


def test_without_a_daemon_nobody_gets_in_and_open_logins_do_nothing_new(own: Bastion) -> None:
    """Stopped, with its socket: denied at once. A login from before is told so, and goes on with the next daemon."""
    proof = own.directory / "client" / "stopped"
    with open_login(own) as session:
        assert session("mybash", "echo before").stdout == b"before\n"
        own.stop_daemon()
        before = own.log()
        try:
            unserved(session("mybash", f"touch {proof}"), 69, own, before)
            denied(own, proof, "not there: No such file or directory")
        finally:
            own.start_daemon()
        assert session("mybash", "echo after").stdout == b"after\n"
    assert own.ssh("mybash", "echo new").stdout == b"new\n"


def test_a_daemon_that_hangs_is_not_waited_for_without_end(own: Bastion) -> None:
    """The hook has a deadline of its own: nobody hangs with the daemon, and nobody gets in."""
    proof = own.directory / "client" / "hung"
    with open_login(own) as session:
        os.kill(own.daemon.pid, signal.SIGSTOP)
        before = own.log()
        try:
            unserved(session("mybash", f"touch {proof}"), 75, own, before)
            denied(own, proof, "no answer within 2 s")
        finally:
            os.kill(own.daemon.pid, signal.SIGCONT)
        assert session("mybash", "echo after").stdout == b"after\n"
    assert not proof.exists()


def test_a_daemon_killed_during_a_call_leaves_no_open_door(own: Bastion) -> None:
    """The hook's question dies with the daemon; it asks again, nobody answers, and the answer is no."""
    proof = own.directory / "client" / "killed"
    own.gateway.faults(api_delay=10)
    before = own.log()
    try:
        with started(own.ssh_command("mybash", f"touch {proof}", identity=own.certificate(newcomer(own)))) as client:
            wait_for(lambda: own.find_log("Connection from", before), what="the connection")
            wait_for(lambda: asking(own), what="the hook's question")
            own.daemon.crash()
            _, stderr = client.communicate(timeout=30)
            assert client.returncode == 255
            assert b"Permission denied" in stderr
        administrators_get_in(own)
    finally:
        own.gateway.faults(**HEALTHY)
        own.daemon.start()
    assert not proof.exists()
    assert own.find_log("Traceback", before) is None
    assert own.ssh("mybash", "echo new").stdout == b"new\n"


def asking(bastion: Bastion) -> bool:
    """Whether a hook waits for the daemon's answer."""
    return bool(principals_hooks(bastion))


def test_a_command_outlives_the_daemon(own: Bastion) -> None:
    """What runs goes on without a daemon, to its last byte and its own status; the next one takes up the login."""
    gate = own.directory / "client" / "gate"
    argv = own.ssh_command("mybash", f"echo begun; until test -e {gate}; do sleep 0.05; done; echo ended; exit 7")
    with started(argv) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"begun\n"
        own.daemon.crash()
        gate.touch()
        out, stderr = client.communicate(timeout=30)
        assert (client.returncode, out) == (7, b"ended\n"), stderr
        assert b"Traceback" not in stderr
    own.daemon.start()
    assert own.ssh("mybash", "echo new").stdout == b"new\n"


def test_a_gateway_that_is_gone_is_told_of(own: Bastion) -> None:
    """Nobody listens any more, neither for the API nor for SSH; when it is back, so are the users."""
    identity = own.certificate(newcomer(own))
    own.gateway.stop()
    try:
        assert held_up(own, identity, own.directory / "client" / "gone").code == "gateway-unavailable"
    finally:
        own.gateway.run()
    assert own.ssh("mybash", "echo back", identity=identity).stdout == b"back\n"
