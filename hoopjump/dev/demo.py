"""The demonstration: real logins through a private sshd, both ways, and what those read who are refused.

Every command line shown is the one a user would type; it runs with ``-F`` and a configuration that knows the hosts
``bastion`` and ``gateway``. What does not come out as expected is marked, and makes the exit status 1.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pexpect

from hoopjump.dev import programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import EXPIRED, Identity
from hoopjump.dev.screen import Screen, printable
from hoopjump.dev.services import free_port, listening, wait_for

TERMINAL_SECONDS: Final = 20
JUMP: Final = ("-J", "bastion")


def run(*, keep: bool) -> int:
    """Show everything; with ``keep`` leave it up until interrupted. The exit status: 1 if something surprised us."""
    screen = Screen()
    with Bastion() as bastion:
        demonstration = Demonstration(bastion, screen)
        demonstration.introduce()
        demonstration.force_command()
        demonstration.proxy_jump()
        demonstration.refusals()
        if keep:
            demonstration.stay()
        else:
            screen.remark("\n`./dev demo --keep` leaves all this up, to be tried; README.md sets up a real one.")
    return 1 if demonstration.surprises else 0


class Demonstration:
    """One run of the demonstration on a running bastion."""

    def __init__(self, bastion: Bastion, screen: Screen) -> None:
        self.bastion = bastion
        self.screen = screen
        self.surprises = 0
        self.alice = bastion.certificate("alice")
        self.bob = bastion.certificate("bob")
        self.database = bastion.backend.postgres()

    def introduce(self) -> None:
        """Say what is running."""
        bastion, say = self.bastion, self.screen.remark
        self.screen.heading("A private bastion")
        say(f"sshd       127.0.0.1:{bastion.port}, unmodified, with hoopjump's block of sshd_config")
        say(f"hoopjumpd  {bastion.socket}")
        say(f"gateway    127.0.0.1:{bastion.gateway.ssh_port}, an embedded stand-in for tests and trying out")
        if bastion.place.rootless:
            say("\nEverything runs as you (rootless). In this mode sshd's monitor, the daemon and the sessions")
            say("share one uid, so hoopjump cannot tell sshd from another program of yours, nor one user's")
            say("processes from another's. As root, ./dev demo gives each its own account, in a private view")
            say("of the machine.")

    # -- The two ways in ---------------------------------------------------------------------------------------------

    def force_command(self) -> None:
        """Through the bastion's ForceCommand: hoopjump starts the inner ssh with a certificate of its own."""
        self.screen.heading("Through ForceCommand: hoopjump hands the session over")
        self.ad_hoc()
        self.terminal()
        self.piped()
        self.show(["pgdemo"], given=b"SELECT 1\n", typed="echo 'SELECT 1' | ssh bastion pgdemo", expect="1")
        self.copy()
        self.screen.remark("\nThe same for bob, whose certificate is his own:")
        self.show(["mybash", "echo", "$HOOP_USER_EMAIL"], identity=self.bob, expect=self.bastion.email("bob"))

    def proxy_jump(self) -> None:
        """Through ProxyJump: the user's own certificate reaches the gateway."""
        self.screen.heading("Through ProxyJump: end to end with the user's own certificate")
        self.screen.remark("The gateway closes a connection as soon as its command has ended; ssh remarks on that.")
        self.ad_hoc(*JUMP)
        self.terminal(*JUMP)
        self.piped(*JUMP)
        self.forward()

    def ad_hoc(self, *options: str) -> None:
        """A command of its own."""
        self.show(["mybash", "ls", "-l"], options=options, expect="total")

    def piped(self, *options: str) -> None:
        """A script on standard input."""
        typed = f"printf 'echo six times seven\\necho $((6 * 7))\\n' | {_typed(options, ['mybash'])}"
        self.show(
            ["mybash"], options=options, given=b"echo six times seven\necho $((6 * 7))\n", typed=typed, expect="42"
        )

    def copy(self) -> None:
        """A file to a host behind the gateway and back, by scp as it is."""
        self.bastion.backend.ssh_target("web1")
        config = str(self.bastion.client_config(self.alice))
        self.screen.remark("\nA resource role of type ssh, named by HOOP_RESOURCE so that scp stays as it is:")
        with tempfile.TemporaryDirectory(dir=self.bastion.directory / "client") as ground:
            place = Path(ground)
            place.chmod(0o777)
            (place / "report").write_text("six times seven\n")
            there = f"bastion:{place}/there"
            for source, target in (("report", there), (there, "back")):
                typed = ["scp", "-o", "SetEnv=HOOP_RESOURCE=web1", source, target]
                self.screen.command(shlex.join(typed))
                argv = ["scp", "-S", str(programs.ssh()), "-F", config, *typed[1:]]
                done = subprocess.run(
                    argv, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
                )
                self.screen.output((done.stdout + done.stderr).decode(errors="replace"))
                if done.returncode:
                    self._surprise(f"scp exited with {done.returncode}")
            if not (place / "back").exists():
                self._surprise("the file did not come back")

    def terminal(self, *options: str) -> None:
        """An interactive shell, typed into by pexpect."""
        options = ("-t", *options)
        self.screen.command(_typed(options, ["mybash"]))
        argv = self._argv(options, ["mybash"], self.alice)
        seen = io.StringIO()
        try:
            child = pexpect.spawn(argv[0], argv[1:], timeout=TERMINAL_SECONDS, encoding="utf-8", dimensions=(24, 80))
        except OSError as error:  # a chroot without /dev/pts
            self._surprise(f"no terminal can be opened here: {error.strerror or error}")
            return
        child.logfile_read = seen
        try:
            child.expect(r"[$#] ")
            child.sendline("stty size; echo $((40 + 2)) on $(tty)")
            child.expect(r"24 80\s+42 on /dev/\S+")
            child.sendline("exit 7")
            child.expect(pexpect.EOF)
        except pexpect.ExceptionPexpect:
            self._surprise("the terminal did not answer")
        child.close()
        self.screen.output(_without_blank_lines(seen.getvalue()))
        self.screen.remark(f"  (exit status {child.exitstatus}, as typed: exit 7)")

    def forward(self) -> None:
        """A database client through a forward; a forward never runs ForceCommand."""
        port = free_port()
        options = (*JUMP, "-N", "-L", f"{port}:pgdemo:5432")
        self.screen.command(f"{_typed(options, [], host='gateway')} &")
        tunnel = subprocess.Popen(self._argv(options, [], self.alice), stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: tunnel.poll() is not None or listening(port), what="the forward")
            typed = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "noop", self.database.database, "-c", "SELECT 1"]
            self.screen.command(shlex.join(typed))
            done = subprocess.run(typed, capture_output=True, text=True, timeout=TERMINAL_SECONDS, check=False)
            self.screen.output(done.stdout + done.stderr)
            if "(1 row)" not in done.stdout:
                self._surprise(f"psql exited with {done.returncode}")
        finally:
            tunnel.terminate()
            tunnel.wait()

    # -- Refusals ----------------------------------------------------------------------------------------------------

    def refusals(self) -> None:
        """Five who do not get in, with what they read and the log line that explains it."""
        bastion = self.bastion
        self.screen.heading("Refused")
        self.screen.remark("What is wrong with a certificate is denied by sshd, which says nothing more than that; the")
        self.screen.remark("reason stands in the log. Whoever holds a good one is told why they may not go on.")
        expired = bastion.certificate("alice", valid=EXPIRED)
        self.refused("an expired certificate", expired, "Permission denied", "cert-expired")
        foreign = bastion.certificate("alice", ca="foreign_ca")
        self.refused("a certificate of a foreign CA", foreign, "Permission denied", "Failed publickey")
        nobody = bastion.certificate("nobody-here")
        self.refused("an unknown user", nobody, "does not know a user", "user-unknown")
        carol = bastion.certificate("carol")
        self.refused("a deactivated user", carol, "not active", "user-inactive")
        self.refused("an unknown resource role", self.alice, "did you mean", "role-unknown", role="pgdmo")

    def refused(self, what: str, identity: Identity, said: str, logged: str, role: str = "mybash") -> None:
        """One refusal: the command, the words on the screen, the line in the log."""
        before = self.bastion.log()
        self.screen.remark(f"\n{what[0].upper()}{what[1:]}:")
        status, text = self.show([role, "ls"], identity=identity, expect=said)
        if status == 0:
            self._surprise("let in")
        # What a user has read and what the log says share a reference.
        reference = re.search(r"\(([a-z-]+), (ref [a-z0-9]+)\)", text)
        pattern = f"{reference[2].replace(' ', '=')} .*{logged}" if reference else logged
        try:
            line = wait_for(lambda: self.bastion.find_log(pattern, before), 5, f"{pattern} in the log")
            assert line is not None
            self.screen.log(line)
        except TimeoutError as error:
            self._surprise(str(error))

    # -- Staying -----------------------------------------------------------------------------------------------------

    def stay(self) -> None:
        """Leave everything up until Ctrl-C, with an ssh configuration that works from any shell of this user."""
        kept = Path(tempfile.mkdtemp(prefix="hoopjump-demo-"))
        try:
            config = self.bastion.export(kept, {"alice": self.alice, "bob": self.bob})
            self.screen.heading("It stays up; Ctrl-C ends it")
            self.screen.remark(f"{config}:\n")
            self.screen.output(config.read_text())
            self.screen.remark("\nTry, from another shell:")
            for line in (
                f"ssh -F {config} bastion",
                f"ssh -F {config} -t bastion mybash",
                f"ssh -F {config} -J bastion gateway mybash ls -l",
                f"ssh -F {config} bastion-bob mybash id",
            ):
                self.screen.command(line)
            signal.pause()
        except KeyboardInterrupt:
            self.screen.remark("\nEnding.")
        finally:
            shutil.rmtree(kept)

    # -- Running -----------------------------------------------------------------------------------------------------

    def show(
        self,
        arguments: Sequence[str],
        *,
        expect: str,
        options: Sequence[str] = (),
        identity: Identity | None = None,
        given: bytes = b"",
        typed: str = "",
    ) -> tuple[int, str]:
        """Run a client, show its command line and what it said, in which ``expect`` should be.

        Returns its exit status and its words.
        """
        self.screen.command(typed or _typed(options, arguments))
        argv = self._argv(options, arguments, identity or self.alice)
        done = subprocess.run(argv, input=given, capture_output=True, timeout=60, check=False)
        text = (done.stdout + done.stderr).decode(errors="replace")
        self.screen.output(text)
        if done.returncode:
            self.screen.status(done.returncode)
        if expect not in text:
            self._surprise(f"this should say '{expect}'")
        return done.returncode, text

    def _argv(self, options: Sequence[str], arguments: Sequence[str], identity: Identity) -> list[str]:
        host = "gateway" if "-J" in options else "bastion"
        return self.bastion.ssh_command(*arguments, identity=identity, options=options, host=host)

    def _surprise(self, text: str) -> None:
        self.surprises += 1
        self.screen.surprise(text)


def _typed(options: Sequence[str], arguments: Sequence[str], host: str = "") -> str:
    """A command line as one would type it."""
    host = host or ("gateway" if "-J" in options else "bastion")
    return " ".join(
        ["ssh", *options, host, *(word if word.startswith("$") else shlex.quote(word) for word in arguments)]
    )


def _without_blank_lines(text: str) -> str:
    return "\n".join(line for line in printable(text).splitlines() if line.strip())
