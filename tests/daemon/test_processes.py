"""Identity, ancestry and ownership of real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hoopjump.daemon import processes
from hoopjump.daemon.processes import Handle, Process, ProcessGoneError
from tests.daemon.yard import ROOT, eventually, yard


def ourselves() -> Process:
    found = processes.find(os.getpid())
    assert found is not None
    return found


@contextmanager
def sleeper(*argv: str) -> Iterator[Process]:
    with subprocess.Popen(argv or ("sleep", "60")) as child:
        found = processes.find(child.pid)
        assert found is not None
        try:
            yield found
        finally:
            child.kill()


def test_start_time_tells_a_recycled_pid_from_its_bearer() -> None:
    """A process with the same pid and another start is not held, not alive and has no relatives."""
    with sleeper() as real:
        impostor = Process(real.pid, real.start - 1)
        assert processes.alive(real)
        assert not processes.alive(impostor)
        with pytest.raises(ProcessGoneError):
            Handle.open(impostor)
        with pytest.raises(ProcessGoneError):
            processes.parent(impostor)
        with pytest.raises(ProcessGoneError):
            processes.owner(impostor)
        assert processes.children(impostor) == []


def test_ended_process_is_gone_also_while_it_is_a_zombie() -> None:
    """Held or not: an end is an end, before anybody has waited for it."""
    child = subprocess.Popen(["sleep", "60"])
    process = processes.find(child.pid)
    assert process is not None
    with Handle.open(process) as handle:
        assert not handle.ended()
        child.kill()
        asyncio.run(eventually(handle.ended))
        assert not processes.alive(process)
        assert process not in processes.children(ourselves())
        with pytest.raises(ProcessGoneError):
            Handle.open(process)
        child.wait()
        assert handle.send(signal.SIGTERM) is False
    with pytest.raises(ProcessGoneError):
        processes.parent(process)


def test_ancestors_end_with_the_first_process() -> None:
    """The walk goes up by parent, child by child."""
    with sleeper() as child:
        above = list(processes.ancestors(child))
        assert above[0] == ourselves()
        assert above[-1].pid == 1


def test_descendants_are_children_and_theirs() -> None:
    """A shell's child is its child and our descendant."""
    with sleeper("sh", "-c", "sleep 60 & wait") as shell:
        asyncio.run(eventually(lambda: [processes.name(one) for one in processes.children(shell)] == ["sleep"]))
        (inner,) = processes.children(shell)
        assert {shell, inner} <= set(processes.descendants(ourselves()))


def test_name_with_parentheses_and_spaces_does_not_confuse() -> None:
    """A process may call itself anything; its parent and start are read from behind the last parenthesis."""
    script = (
        "import ctypes, time; ctypes.CDLL(None).prctl(15, b') R 1 1 ((', 0, 0, 0); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-Sc", script], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            process = processes.find(child.pid)
            assert process is not None
            assert processes.name(process) == ") R 1 1 (("
            assert processes.parent(process) == ourselves()
        finally:
            child.kill()


def test_peer_is_who_connected() -> None:
    """The kernel's word: our pid and uid, held."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handle, uid = processes.peer(ours)
        with handle:
            assert (handle.process, uid) == (ourselves(), os.getuid())


def test_peer_that_has_ended_is_no_peer() -> None:
    """A connection whose maker is dead names nobody, even when another process holds it open."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")
        listener.listen(1)
        script = (
            "import os, socket, sys, time; s = socket.socket(socket.AF_UNIX); "
            "s.connect(b'\\0' + sys.argv[1].encode()); pid = os.fork(); "
            "(time.sleep(60) if pid == 0 else print(pid, flush=True))"
        )
        address = listener.getsockname()[1:].decode()
        with subprocess.Popen([sys.executable, "-Sc", script, address], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            holder = int(child.stdout.readline())
            child.wait()
        connection, _ = listener.accept()
        try:
            with connection, pytest.raises(ProcessGoneError):
                processes.peer(connection)
        finally:
            os.kill(holder, signal.SIGKILL)


def test_kernel_without_a_list_of_children_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc has no `children` files, every process is asked for its parent."""
    with sleeper() as child:
        listed = processes.children(ourselves())
        real = Path.iterdir

        def iterdir(path: Path) -> Iterator[Path]:
            if path.name == "task":
                raise FileNotFoundError
            return real(path)

        monkeypatch.setattr(Path, "iterdir", iterdir)
        monkeypatch.setattr(processes, "_CHILDREN", Path("/proc/self/nothing"))
        assert child in listed
        assert set(processes.children(ourselves())) == set(listed)


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_owner_is_the_real_uid() -> None:
    """Root that acts for a user for a moment, as sshd's monitor does, is still root."""
    script = "import os, sys; os.seteuid(65534); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-Sc", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = processes.find(child.pid)
        assert process is not None
        assert processes.owner(process) == 0
        child.communicate()


def test_login_is_found_from_any_depth_below_its_monitor_and_nowhere_else() -> None:
    """A session below an admitted monitor belongs to its login; one started elsewhere belongs to none."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.opened()
            assert (await monitor.session()).text("json") == login.ref
            by_hand = await place.monitor()
            assert (await by_hand.session()).text("json") == ""
            other, another_login = await place.admitted()
            assert (await other.session()).text("json") == another_login.ref

    asyncio.run(story())


def test_login_of_a_recycled_pid_is_not_found() -> None:
    """A table entry with the monitor's pid and another start admits nobody."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.admitted()
            place.table.drop(login)
            login.monitor = Process(login.monitor.pid, login.monitor.start - 1)
            place.table.put(login)
            assert (await monitor.session()).text("json") == ""

    asyncio.run(story())
