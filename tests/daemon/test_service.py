"""The whole program: starting, stopping, restarting, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import base64
import signal
import stat
from pathlib import Path

import pytest

from hoopjump.daemon import processes, wire
from tests.daemon.service import DaemonService, service
from tests.daemon.yard import ALICE, ROOT, eventually, outcome


def failure(place: DaemonService, *before: str) -> tuple[int, str]:
    """Exit status and standard error of a daemon that does not start."""
    return place.launch(*before).wait(20), place.log.read_text()


def test_daemon_says_when_it_is_ready_and_when_it_stops() -> None:
    """READY=1, an answer, STOPPING=1, exit status 0."""

    async def story() -> None:
        async with service() as place:
            place.listen()
            await place.start()
            assert (await place.ask("ping")).text("outcome") == "ok"
            assert await place.end() == 0
            assert "STOPPING=1" in place._notify.recv(4096).decode()
            assert "ready" in place.log.read_text()

    asyncio.run(story())


def test_daemon_cannot_be_dumped_nor_traced_by_its_own_uid() -> None:
    """Its memory holds the API key and the CA key: no core file, and /proc/PID belongs to root (proc(5), prctl(2))."""

    async def story() -> None:
        async with service() as place:
            await place.start()
            assert place.process is not None
            proc = Path(f"/proc/{place.process.pid}")
            (limit,) = [line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core file")]
            assert limit.split()[4:6] == ["0", "0"]
            assert (proc / "environ").stat().st_uid == 0
            assert (await place.ask("ping")).text("outcome") == "ok"

    asyncio.run(story())


def test_without_systemd_the_daemon_makes_its_socket() -> None:
    """Mode 0666; a stale one is replaced, a living daemon's is not."""

    async def story() -> None:
        async with service() as place:
            await place.start()
            assert stat.S_IMODE(place.socket.stat().st_mode) == 0o666
            assert (await place.ask("ping")).text("outcome") == "ok"
            first = place.process
            status, said = await asyncio.to_thread(failure, place)
            assert status == 1
            assert said.splitlines()[-1].endswith("d.sock: another daemon is listening there")
            place.process = first
            await place.end(signal.SIGKILL)
            await place.start()
            assert (await place.ask("ping")).text("outcome") == "ok"

    asyncio.run(story())


def test_login_lives_through_the_daemon_from_admission_to_end() -> None:
    """The unprivileged daemon sees root's monitor open a login, cuts it, and knows of the end; the trail has it all."""

    async def story() -> None:
        async with service() as place:
            place.listen()
            await place.start()
            monitor = await place.monitor()
            await monitor.preauth()
            reply = await monitor.hook(place.authority.certificate(ALICE.email, seconds=4))
            assert outcome(reply) == ("line", None)
            await monitor.login()
            await eventually(lambda: place.kinds()[-1:] == ["login-closed"])
            assert place.kinds() == ["admitted", "login-opened", "login-cut", "login-closed"]
            assert not processes.alive(monitor.process)
            said = place.log.read_text() + place.audit.read_text()
            assert "Traceback" not in said
            assert "hpk_" not in said

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_daemon_that_may_not_signal_says_what_it_lacks() -> None:
    """Without CAP_KILL a login cannot be cut; the log names the cure."""

    async def story() -> None:
        async with service() as place:
            place.listen()
            await place.start(capabilities="-all")
            monitor = await place.monitor()
            await monitor.preauth()
            await monitor.hook(place.authority.certificate(ALICE.email, seconds=4))
            await monitor.login()
            await eventually(lambda: "give the daemon CAP_KILL" in place.log.read_text())
            assert processes.alive(monitor.process)

    asyncio.run(story())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_logins_outlive_the_daemon(number: signal.Signals) -> None:
    """Stopped or killed: the next daemon knows the open login, and closes the one that ended meanwhile."""

    async def story() -> None:
        async with service() as place:
            place.listen()
            await place.start()
            monitors = [await place.monitor(), await place.monitor()]
            for monitor in monitors:
                await monitor.preauth()
                await monitor.hook(place.authority.certificate(ALICE.email))
                await monitor.login()
            await eventually(lambda: place.kinds().count("login-opened") == 2)
            await place.end(number)
            await monitors[0].quit()
            await place.start()
            await eventually(lambda: place.kinds().count("login-closed") == 1)
            await monitors[1].quit()
            await eventually(lambda: place.kinds().count("login-closed") == 2)

    asyncio.run(story())


def test_restart_in_a_storm_of_questions_loses_none() -> None:
    """Sixty hooks ask while the daemon is restarted twice; each has its line, at the second attempt at the latest."""

    async def story() -> None:
        async with service() as place:
            place.listen()
            await place.start()
            monitor = await place.monitor()
            certificate = base64.b64encode(place.authority.certificate(ALICE.email)).decode()
            pairs = [("verb", "principals"), ("account", place.uids.name), ("certificate", certificate)]
            data = wire.encode(pairs).hex()
            count = 60
            storm = asyncio.create_task(monitor.tell("storm", uid=place.uids.hook, data=data, count=count))
            for _ in range(2):
                await asyncio.sleep(0.1)
                await place.end()
                await place.start()
            assert (await storm)["lines"] == count

    asyncio.run(story())


def test_gateway_that_does_not_answer_holds_up_no_restart() -> None:
    """The call to it may last for its whole timeout; the daemon ends without it."""
    asked = asyncio.Event()

    async def silence(*_: object) -> None:
        asked.set()
        await asyncio.sleep(60)

    async def story() -> None:
        gateway = await asyncio.start_server(silence, "127.0.0.1", 0)
        async with service(gateway.sockets[0].getsockname()[1]) as place:
            place.listen()
            await place.start()
            monitor = await place.monitor()
            question = asyncio.create_task(monitor.hook(place.authority.certificate(ALICE.email)))
            await asked.wait()
            async with asyncio.timeout(4):  # less than gateway.read_timeout
                assert await place.end() == 0
            assert (await question).text("line") == "restrict,pty alice@x.io"
        gateway.close()

    asyncio.run(story())


def test_bad_configuration_is_told_with_its_line() -> None:
    """Exit status 2 and two lines, no trace."""

    async def story() -> None:
        async with service() as place:
            place.config.write_text(place.config.read_text() + "[sshd2]\n")
            status, said = await asyncio.to_thread(failure, place)
            assert status == 2
            assert said.startswith(f"hoopjumpd: {place.config}:")
            assert "unknown key `sshd2`" in said
            assert said.splitlines()[1].startswith("hoopjumpd: hint: ")

    asyncio.run(story())


def test_state_directory_that_cannot_be_made_is_told() -> None:
    """Exit status 1, one line with the path."""

    async def story() -> None:
        async with service() as place:
            text = place.config.read_text()
            place.config.write_text(text.replace(f'state_dir = "{place.directory}/run"', 'state_dir = "/proc/none"'))
            status, said = await asyncio.to_thread(failure, place)
            assert (status, said.splitlines()) == (1, ["hoopjumpd: /proc/none: No such file or directory"])

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_hidden_processes_are_told_with_the_cure() -> None:
    """A /proc mounted with hidepid ends the daemon at its start: it could tell no login from another."""

    async def story() -> None:
        async with service() as place:
            script = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
            # All mounts of the private view are private already; in a chroot unshare(1) could not make them so.
            unshare = ("unshare", "--mount", "--propagation=unchanged")
            status, said = await asyncio.to_thread(failure, place, *unshare, "sh", "-c", script, "sh")
            assert status == 1
            first, second = said.splitlines()
            assert first.startswith("hoopjumpd: root's processes cannot be seen in /proc")
            assert "hidepid=" in second
            assert "ProtectProc=" in second

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_missing_hook_user_is_told_with_the_command_that_makes_it() -> None:
    """A name that the account database does not have ends the daemon at its start."""

    async def story() -> None:
        async with service() as place:
            text = place.config.read_text()
            place.config.write_text(text.replace("[sshd]", '[sshd]\nhook_user = "nobody-here"'))
            status, said = await asyncio.to_thread(failure, place)
            assert status == 1
            assert "there is no user nobody-here" in said
            assert "useradd --system" in said

    asyncio.run(story())


def test_secret_that_others_may_read_is_refused() -> None:
    """Exit status 2; the key itself is in no message."""

    async def story() -> None:
        async with service() as place:
            (place.directory / "key").chmod(0o644)
            status, said = await asyncio.to_thread(failure, place)
            assert status == 2
            assert "readable by nobody else" in said
            assert "hpk_" not in said

    asyncio.run(story())


def test_rootless_daemon_says_what_it_cannot_tell_apart() -> None:
    """One warning at its start, and none where peers have uids of their own."""

    async def story() -> None:
        async with service() as place:
            place.listen()
            await place.start()
            await eventually(lambda: "ready" in place.log.read_text())
            assert ("rootless: whoever runs programs" in place.log.read_text()) is not ROOT

    asyncio.run(story())


@pytest.mark.parametrize(("host", "said"), [("192.0.2.1", True), ("127.0.0.1", False)])
def test_daemon_says_when_its_key_crosses_a_network_in_clear(host: str, said: bool) -> None:
    """One warning at its start, for http to another machine."""

    async def story() -> None:
        async with service() as place:
            text = place.config.read_text()
            place.config.write_text(text.replace('api_url = "http://127.0.0.1', f'api_url = "http://{host}'))
            place.listen()
            await place.start()
            assert (await place.ask("ping")).text("outcome") == "ok"
            assert place.log.read_text().count("the API key crosses the network in clear") == said

    asyncio.run(story())


def test_configuration_that_others_may_write_is_refused() -> None:
    """Exit status 2, and nothing is read of it."""

    async def story() -> None:
        async with service() as place:
            place.config.chmod(0o666)
            status, said = await asyncio.to_thread(failure, place)
            assert status == 2
            assert f"hoopjumpd: {place.config}: is writable by others (mode 0666)\n" in said
            assert "hoopjumpd: hint: chmod go-w" in said

    asyncio.run(story())
