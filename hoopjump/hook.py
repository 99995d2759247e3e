#!/usr/bin/python3 -ISBcimport _frozen_importlib_external as e;exec(e.SourceFileLoader(0,e.sys.argv.pop(1)).get_code(0))
"""Everything that sshd starts: twice for every login, and once for every session. Standard library only.

``hook principals --user=%u --key-id=%i --serial=%s --ca=%F --cert=%k [--connection=%C]`` is the
AuthorizedPrincipalsCommand: it asks the daemon and prints one line, or nothing, which denies. It always exits 0: sshd
logs the whole argv, certificate included, of a hook that does not (auth2-pubkey.c, misc.c subprocess).

``hook session`` is the ForceCommand: it asks the daemon what this session is, and refuses, becomes a program, or runs
one between two spools. ``--socket=PATH`` names another daemon. The hook relays and checks form; it decides nothing.

``hook relay HOST PORT`` is the ProxyCommand of an ssh between two spools.

sshd stretches each authentication step to 5 to 9 ms times a power of two (auth2.c ensure_minimum_time_since), so a
millisecond too many here can cost a login thirty. Measured on Debian 12, where a bare interpreter takes 5 ms:

- ``os`` costs 0.8 ms, ``socket`` 3.6, ``signal`` 2, ``argparse`` and ``json`` 6, site (hence -S) 2.5, the end of the
  interpreter (hence ``_exit``) 0.9. What is imported at the top is part of the interpreter and costs nothing.
  ``select`` and ``ctypes`` (4 ms, while the daemon thinks) are imported where a session is spooled.
- Compiling this file costs 12 ms, and Python keeps no compiled form of a program, only of modules. So the first line
  starts it as the import system starts a module: from ``__pycache__`` beside it, if what is there was made of this very
  file (``/usr/bin/python3 -m py_compile hook``, as the owner), else from the source. It keeps nothing there by itself
  (-B), and within the 127 characters that Linux before 5.1 reads (execve(2)).

The file is ASCII, and runs on every Python from 3.6 on.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` wraps in enums, for 2 ms
import _socket
import posix
import sys
import time

MYPY = False
if MYPY:
    import ctypes
    from collections.abc import Callable
    from typing import NoReturn

SOCKET = "/run/hoopjump/hoopjumpd.sock"
SYSLOG = "/dev/log"
VERSION = 1
# Seconds for one question. While sshd waits, a slot of MaxStartups is taken; in a session only its user waits.
DEADLINE = 2.0  # principals, and a status: the daemon answers within 1.5
PATIENCE = 10.0  # session: within 8
LOOK = 0.25  # seconds of it between two looks at the clock
FRAME_LIMIT = 262144
LINE_LIMIT = 2048
CHUNK = 65536  # the size of a pipe

EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_INTERRUPTED = 64, 65, 69, 75, 77, 130
EX_LOST = 255  # ssh(1): an error of its own, or no status from the server


class HookError(Exception):
    """What goes wrong here: ``status`` to exit with, ``sentence`` for the user, the message for the log, if any."""

    def __init__(self, status: int, sentence: str, detail: str = "", code: str = "") -> None:
        super().__init__(detail)
        self.status, self.sentence, self.code = status, sentence, code


class ProtocolError(Exception):
    """The daemon's answer does not keep to the protocol; the message never holds any of it."""


# -- What people read ------------------------------------------------------------------------------------------------


def clean(text: bytes) -> bytes:
    """One line of text without anything that a terminal obeys: control and format characters become ``?``."""
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in text.decode("utf-8", "replace")).encode()


def say(lines: "list[bytes]", target: int = 2) -> None:
    """Write lines for a person; one who has gone away reads nothing, which is no error."""
    try:
        write_all(target, b"".join(clean(line) + b"\n" for line in lines))
    except OSError:
        pass


def write_all(target: int, data: bytes) -> None:
    """Write every byte to a descriptor that may block."""
    while data:
        data = data[posix.write(target, data) :]


def log(text: str) -> None:
    """One line to the system log, authpriv.warning. Not by ``syslog``, which waits for a log that is stuck."""
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    try:
        link.setblocking(False)
        link.connect(SYSLOG)
        link.send(b"<84>hoopjump-hook[%d]: %s" % (posix.getpid(), clean(text.encode("utf-8", "replace"))))
    except OSError:
        pass


# -- The wire: frames of netstrings (docs/architecture.md) -----------------------------------------------------------


def encode(pairs: "list[tuple[str, bytes]]") -> bytes:
    """A frame: a 4-byte length, then key, value, key, value as netstrings; raises HookError when it is too long."""
    parts = [part for key, value in pairs for part in (key.encode(), value)]
    body = b"".join(b"%d:%s," % (len(part), part) for part in parts)
    if len(body) > FRAME_LIMIT:
        detail = "a question of %d bytes" % len(body)
        raise HookError(EX_USAGE, "The command is too long.", detail, "command-too-long")
    return len(body).to_bytes(4, "big") + body


def decode(body: bytes) -> "dict[str, list[bytes]]":
    """The keys and values of a frame; raises ProtocolError. Unknown keys are the reader's to pass over."""
    parts, place = [], 0
    while place < len(body):
        colon = body.find(b":", place, place + 7)
        digits = body[place:colon]
        if colon < 0 or not digits.isdigit() or (digits[:1] == b"0" and digits != b"0"):
            raise ProtocolError("no length of a netstring")
        place = colon + 1 + int(digits)
        if body[place : place + 1] != b",":
            raise ProtocolError("a netstring without its end")
        parts.append(body[colon + 1 : place])
        place += 1
    if len(parts) % 2 or parts[:1] != [b"v"]:
        raise ProtocolError("not pairs that begin with the version")
    if parts[1] not in [b"%d" % version for version in (VERSION - 1, VERSION, VERSION + 1)]:
        raise ProtocolError("a protocol version that is not one apart")
    answer = {}  # type: dict[str, list[bytes]]
    for key, value in zip(parts[::2], parts[1::2]):
        answer.setdefault(key.decode("ascii", "replace"), []).append(value)
    return answer


def one(answer: "dict[str, list[bytes]]", key: str) -> bytes:
    """The only value of a key; raises ProtocolError."""
    values = answer.get(key, [])
    if len(values) != 1:
        raise ProtocolError("%s stands %d times" % (key, len(values)))
    return values[0]


def left(end: float) -> float:
    """Seconds until a deadline; raises the timeout that the socket itself would raise."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise _socket.timeout("timed out")
    return seconds


def connect(path: str, end: float) -> "_socket.socket":
    """A connection to the daemon.

    While its backlog is full the kernel queues only those who block (af_unix.c unix_stream_connect), so this is the one
    wait that the kernel must bound. Whoever asks again and again instead may always find somebody else in the gap.
    """
    while True:
        link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        microseconds = int(left(end) * 1000000) + 1
        timeval = b"".join(part.to_bytes(8, sys.byteorder) for part in divmod(microseconds, 1000000))
        link.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, timeval)
        try:
            link.connect(path)
        except BlockingIOError:
            link.close()
            continue
        link.settimeout(left(end))
        return link


def receive(link: "_socket.socket", end: float) -> "dict[str, list[bytes]]":
    """One answer; raises ProtocolError, the timeout, or ConnectionError when the connection ends before it is whole.

    The deadline is the daemon's. What has come by the time that a busy machine lets us look counts, and for as long as
    it kept us from looking, because it was paused perhaps, it has kept the daemon from answering.
    """
    data = b""
    while True:
        if len(data) >= 4:
            size = int.from_bytes(data[:4], "big")
            if not 1 <= size <= FRAME_LIMIT or len(data) > 4 + size:
                raise ProtocolError("not one frame")
            if len(data) == 4 + size:
                return decode(data[4:])
        begin = time.monotonic()
        wait = max(0.0, min(end - begin, LOOK))
        link.settimeout(wait)
        try:
            part = link.recv(CHUNK)
        except (BlockingIOError, _socket.timeout):
            if not wait:
                raise _socket.timeout("timed out") from None
            end += time.monotonic() - begin - wait
            continue
        if not part:
            raise ConnectionResetError("the connection ended without an answer")
        data += part


def ask(
    path: str, frame: bytes, seconds: float, meanwhile: "Callable[[], None] | None" = None
) -> "tuple[dict[str, list[bytes]], _socket.socket]":
    """The daemon's answer and the connection it came on. Raises ProtocolError, or HookError when none comes in time.

    A connection that a restarting daemon drops, or a daemon that is not there, is tried once more. ``meanwhile`` is
    called while the daemon thinks.
    """
    end = time.monotonic() + seconds
    status = EX_UNAVAILABLE
    for pause in (0.1, 0.0):
        try:
            link = connect(path, end)
            link.sendall(frame)
            if meanwhile:
                meanwhile()
            return receive(link, end), link
        except _socket.timeout:
            status, problem = EX_TEMPFAIL, "no answer within %g s" % seconds
            break
        except (FileNotFoundError, ConnectionRefusedError) as error:
            problem = "not there: %s" % error.strerror
            time.sleep(pause)
        except OSError as error:
            status, problem = EX_TEMPFAIL, error.strerror or str(error)
    sentence = "the bastion's service does not answer; please try again"
    raise HookError(status, sentence, "%s: %s" % (path, problem))


# -- hook principals -------------------------------------------------------------------------------------------------

PRINCIPAL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:|+-")
HOST = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:[]_-")
KEYS = {
    "user": "account",
    "key-id": "key-id",
    "serial": "serial",
    "ca": "ca",
    "cert": "certificate",
    "connection": "connection",
}


def principals(path: str, options: "dict[str, bytes]") -> int:
    """Print the line that lets this certificate in, or nothing."""
    pairs = [("v", b"%d" % VERSION), ("verb", b"principals")]
    for option, key in KEYS.items():
        if option in options:
            pairs.append((key, options[option]))
    answer, _ = ask(path, encode(pairs), DEADLINE)
    outcome = one(answer, "outcome")
    if outcome == b"line":
        line = one(answer, "line")
        if not well_formed(line):
            raise ProtocolError("the line is not a principals line of ours")
        posix.write(1, line + b"\n")
    elif outcome not in (b"deny", b"refuse"):
        raise ProtocolError("an outcome that is no answer to principals")
    return 0


def well_formed(line: bytes) -> bool:
    """Whether a line is ``[options ]principal`` with nothing but what we know (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

    sshd cuts a line at ``#`` even between quotes and splits it at the last space; neither can occur here.
    """
    options, space, principal = line.rpartition(b" ")
    if len(line) > LINE_LIMIT or not principal or not PRINCIPAL.issuperset(principal):
        return False
    return not space or all(is_option(option) for option in options.split(b","))


def is_option(option: bytes) -> bool:
    """Whether this is ``restrict``, ``pty``, ``port-forwarding`` or ``permitopen="host:port"``."""
    if option in (b"restrict", b"pty", b"port-forwarding"):
        return True
    if not option.startswith(b'permitopen="') or not option.endswith(b'"'):
        return False
    host, _, port = option[12:-1].rpartition(b":")
    return bool(host) and HOST.issuperset(host) and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536


# -- The start -------------------------------------------------------------------------------------------------------


def main(words: "list[str]") -> int:
    """Run one verb; returns the exit status. A fault shows a user no more than a sentence and a reference."""
    options = {}
    for word in words[1:]:
        name, _, value = word.partition("=")
        options[name[2:]] = value.encode(sys.getfilesystemencoding(), "surrogateescape")
    path = options.get("socket", SOCKET.encode()).decode(sys.getfilesystemencoding(), "surrogateescape")
    verb = words[0] if words else ""
    try:
        if verb == "principals":
            return principals(path, options)
        if verb == "session":
            return session(path)
        if verb == "relay" and len(words) == 3:
            return relay(words[1], words[2])
        raise HookError(EX_USAGE, "usage: hook principals|session [--socket=PATH] [--NAME=VALUE ...]")
    except KeyboardInterrupt:
        return EX_INTERRUPTED
    except HookError as error:
        failure = error
    except ProtocolError as error:
        sentence = "The bastion's parts do not understand each other."
        failure = HookError(EX_UNAVAILABLE, sentence, "the daemon's answer: %s" % error, "protocol")
    except BaseException as error:
        # The kind and place of a fault, never its message: that may hold what a log must not.
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        detail = "%s in %s of the hook" % (type(error).__name__, place.tb_frame.f_code.co_name if place else "?")
        failure = HookError(EX_UNAVAILABLE, "Something went wrong on the bastion.", detail, "internal")
    labels, detail = [failure.code] if failure.code else [], str(failure)
    if detail:
        labels.append("ref " + posix.urandom(4).hex())
        account = options.get("user", b"").decode("utf-8", "replace")
        log("%s%s: %s (%s)" % (verb, " denied for account " + account if account else "", detail, labels[-1]))
    if verb == "principals":
        return 0
    say([("hoopjump: %s%s" % (failure.sentence, " (%s)" % ", ".join(labels) if labels else "")).encode()])
    return failure.status


# -- hook relay --------------------------------------------------------------------------------------------------------
#
# The gateway closes its connection as soon as a command has ended. ssh still tells it of room for more output then, and
# a connection that is closed answers a write with an error, upon which ssh ends (clientloop.c, ssh_packet_write_poll)
# without having read what has long arrived: output is cut, the exit status lost. So ssh talks to us, who read to the
# end, whatever becomes of what it writes. We signal nobody: what ssh is to know, it reads.

AWAY = 0x08 | 0x10 | 0x20  # POLLERR, POLLHUP, POLLNVAL
NEXT_ADDRESS = 4.0  # seconds until a host's next address is tried; the last one has all the time that ssh gives us
FAREWELL = 1.0  # seconds that an ssh which has read everything has to end by itself
AHEAD = 4 << 20  # twice the window that ssh gives a channel (channels.h CHAN_SES_WINDOW_DEFAULT): all that can be sent
# A pipe that has carried a megabyte is made this wide, for fewer turns. Not every one: a user may have 64 MB of pipes
# (pipe(7), pipe-user-pages-soft), and all further ones are narrow.
WIDE, CARRIED = 256 << 10, 1 << 20
NONSENSE = bytes(512 << 10)  # completes any packet (packet.c PACKET_MAX_SIZE, 256 KiB), and is no packet of the gateway


def reach(host: str, port: str) -> "_socket.socket | None":
    """A connection to the first address of a host that answers; None when ssh, which has the timeout, has gone."""
    import select

    problem = OSError("no address")
    try:
        addresses = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)
        for place, (family, kind, protocol, _, address) in enumerate(addresses, 1):
            link = _socket.socket(family, kind, protocol)
            try:
                link.setblocking(False)
                link.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
                try:
                    link.connect(address)
                except BlockingIOError:
                    poller = select.poll()
                    poller.register(0, 0)
                    poller.register(link.fileno(), select.POLLOUT)
                    events = dict(poller.poll(NEXT_ADDRESS * 1000 if place < len(addresses) else None))
                    if 0 in events:
                        return None
                    if not events:
                        raise _socket.timeout("no answer") from None
                    code = link.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
                    if code:
                        raise OSError(code, posix.strerror(code)) from None
                return link
            except OSError as error:
                problem = error
                link.close()
    except OSError as error:
        problem = error
    raise HookError(EX_UNAVAILABLE, "%s port %s: %s" % (host, port, problem.strerror or problem))


def relay(host: str, port: str) -> int:
    """Pass bytes between ssh, at our standard input and output, and the gateway, until ssh ends."""
    posix.setpgid(0, 0)  # so that we read on while ssh is stopped
    link = reach(host, port)
    if link:
        passing = Relay(link)
        while passing.step():
            pass
    return 0


class Relay:
    """The connection of one ssh.

    A connection that broke off may have lost output. ssh must not take that for an end of its own (and say so, in the
    words that mean nothing): it has time to end with what it has got, and reads nonsense then, upon which it fails.
    """

    def __init__(self, link: "_socket.socket") -> None:
        self.link = link
        self.there = b""  # to the gateway
        self.back = []  # type: list[memoryview]  # to ssh
        self.ahead = 0  # how many bytes that is
        self.takes = self.sends = True  # what the gateway still does
        self.broken = self.closed = False
        self.carried = 0  # bytes that ssh has been given
        posix.set_blocking(1, False)

    def step(self) -> bool:
        """Wait for something to do and do it; False when ssh has gone."""
        import select

        poller = select.poll()
        poller.register(0, 0 if self.there else select.POLLIN)
        if not self.closed:
            poller.register(1, select.POLLOUT if self.back else 0)
        wanted = (select.POLLOUT if self.there else 0) | (select.POLLIN if self.reads() else 0)
        if wanted:
            poller.register(self.link.fileno(), wanted)
        waiting = self.broken and not self.sends and not self.back
        events = dict(poller.poll(FAREWELL * 1000 if waiting else None))
        if events.get(1, 0) & AWAY:
            return False
        if 0 in events:
            data = posix.read(0, CHUNK)
            if not data:
                return False
            self.there += data
        if self.link.fileno() in events:
            self.exchange()
        if not (self.takes and self.sends):
            self.there = b""
        if waiting and not events and not unread():
            self.take(NONSENSE)
            self.broken = False
        if self.back:
            self.pass_on()
        if not (self.sends or self.back or self.broken or self.closed):
            posix.close(1)
            self.closed = True
        return True

    def pass_on(self) -> None:
        """Give ssh what it takes."""
        try:
            while self.back:
                written = posix.write(1, self.back[0])
                self.ahead -= written
                self.carried += written
                if self.carried - written < CARRIED <= self.carried:
                    widen(1)
                self.back[0] = self.back[0][written:]
                if self.back[0]:
                    break
                del self.back[0]
        except BlockingIOError:
            pass

    def take(self, data: bytes) -> None:
        """Keep bytes for ssh; as they are, since a copy of each costs a tenth of the speed, but not as crumbs."""
        self.ahead += len(data)
        if self.back and len(self.back[-1]) < CHUNK:
            data = b"".join((self.back.pop(), data))
        self.back.append(memoryview(data))

    def reads(self) -> bool:
        """Whether there may be more to read, and room for it."""
        return self.sends and self.ahead < AHEAD

    def exchange(self) -> None:
        """Receive and send what can be.

        A reset leaves what had arrived to be read (tcp.c tcp_recvmsg), and tells of itself once. It says EPIPE if the
        end had arrived before it (tcp_input.c tcp_reset), and so everything else as well.
        """
        try:
            if self.reads():
                data = self.link.recv(WIDE)
                self.sends = bool(data)
                if data:
                    self.take(data)
        except BlockingIOError:
            pass
        except OSError:
            self.sends, self.broken = False, True
        try:
            if self.there and self.takes:
                self.there = self.there[self.link.send(self.there) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.takes = False
            self.broken = self.broken or not isinstance(error, BrokenPipeError)


def widen(target: int) -> None:
    """Make a pipe wide; nothing happens to what is none."""
    try:
        import fcntl

        fcntl.fcntl(target, 1031, WIDE)  # F_SETPIPE_SZ
    except (ImportError, OSError):
        pass


def unread() -> bool:
    """Whether ssh, which may be stopped, has not yet read all that we gave it."""
    try:
        import fcntl
        import termios

        return any(fcntl.ioctl(1, termios.FIONREAD, bytes(4)))
    except (ImportError, OSError):
        return False


# -- hook session ------------------------------------------------------------------------------------------------------

ROUNDS = 16  # questions that one session may take: plan, choices, run


def number(answer: "dict[str, list[bytes]]", key: str, highest: int) -> int:
    """The only value of a key as a number from 0 to ``highest``; raises ProtocolError."""
    value = one(answer, key)
    if not value.isdigit() or len(value) > 18 or int(value) > highest:
        raise ProtocolError("%s is not a number up to %d" % (key, highest))
    return int(value)


def session(path: str) -> int:
    """Do what the daemon says about this session; returns the exit status, or becomes another program."""
    above = ancestors()
    facts = session_facts()
    choice = []  # type: list[tuple[str, bytes]]
    again = []  # type: list[tuple[str, bytes]]
    gathered = None  # type: Input | None
    for _ in range(ROUNDS):
        stage = b"run" if gathered else b"plan"
        pairs = [("v", b"%d" % VERSION), ("verb", b"session"), ("stage", stage)]
        try:
            frame = encode(pairs + facts + choice + again)
            answer, link = ask(path, frame, PATIENCE, load_libc if gathered else None)
        except HookError:
            if again:
                return EX_LOST
            raise
        outcome = one(answer, "outcome")
        if outcome == b"refuse":
            status = number(answer, "exit", 255)
            say([] if "sftp" in answer else answer.get("stdout", []), 1)
            say(answer.get("text", []))
            if "sftp" in answer:
                refuse_in_sftp(number(answer, "sftp", 255), answer.get("text", []))
            return status
        if outcome == b"choose" and not gathered:
            choice = [("choice", choose(answer))]
        elif outcome == b"exec" and not gathered:
            argv, environ = program(answer)
            say(answer.get("notice", []))
            become(argv, environ)
        elif outcome == b"spool" and not gathered:
            gathered = Input(answer, above)
            say(answer.get("notice", []))
            gathered.gather()
        elif outcome == b"run" and gathered:
            job = Job(answer, link, gathered)
            status = job.run()
            if not job.orphaned or "handover" not in answer:
                return status
            again = [("again", one(answer, "handover"))]
            say([b"hoopjump: the bastion's service was restarted meanwhile; asking it what became of the session"])
        elif outcome == b"exit" and again:
            say(answer.get("text", []))
            return number(answer, "exit", 255)
        else:
            raise ProtocolError("an outcome that is no answer to session")
    raise ProtocolError("no end of questions")


SFTP_SECONDS = 20.0  # a client that asks on and on is left then
SFTP_LIMIT = 256 << 10  # bytes of a packet (sftp-common.h SFTP_MAX_MSG_LENGTH)
SFTP_TEXT = 2048  # bytes of a reason: with all around it less than a pipe takes at once (PIPE_BUF)
SFTP_INIT, SFTP_VERSION, SFTP_LSTAT, SFTP_STATUS, SFTP_ATTRS = 1, 2, 7, 101, 105


def refuse_in_sftp(code: int, text: "list[bytes]") -> None:
    """Let whatever an SFTP client asks for fail with a status code and a text (draft-ietf-secsh-filexfer-02).

    sshd drops the standard error of a subsystem (session.c do_exec_no_pty), so this is all that such a client can show.
    Only LSTAT succeeds, with no attribute: scp would say "No such file" otherwise, and not go on to what shows the code
    (scp.c sink_sftp).
    """
    reason = b"\n".join(clean(line) for line in text)[:SFTP_TEXT]
    end = time.monotonic() + SFTP_SECONDS
    greeted = False
    try:
        posix.set_blocking(1, False)
        while True:
            packet = sftp_packet(end)
            kind, request = packet[0], packet[1:5]
            if not greeted and kind != SFTP_INIT:
                return
            if not greeted:
                greeted = True
                body = b"%c" % SFTP_VERSION + (3).to_bytes(4, "big")
            elif kind == SFTP_LSTAT:
                body = b"%c" % SFTP_ATTRS + request + bytes(4)
            else:
                strings = b"".join(len(part).to_bytes(4, "big") + part for part in (reason, b"en"))
                body = b"%c" % SFTP_STATUS + request + code.to_bytes(4, "big") + strings
            posix.write(1, len(body).to_bytes(4, "big") + body)
    except (OSError, EOFError):  # it has gone, or takes its time
        pass


def sftp_packet(end: float) -> bytes:
    """The next packet: its type, and four bytes (version or request) at least. Raises EOFError, or the timeout."""
    import select

    poller = select.poll()
    poller.register(0, select.POLLIN)
    data, size = b"", 4
    while len(data) < size:
        poller.poll(left(end) * 1000 + 1)
        left(end)
        part = posix.read(0, min(CHUNK, size - len(data)))
        if not part:
            raise EOFError
        data += part
        if size == len(data) == 4:
            size += int.from_bytes(data, "big")
            if not 9 <= size <= SFTP_LIMIT:
                raise EOFError
    return data[4:]


def session_facts() -> "list[tuple[str, bytes]]":
    """What sshd, and the variables that it lets a client send, tell about this session."""
    names = {
        b"SSH_ORIGINAL_COMMAND": "command",
        b"SSH_TTY": "tty",
        b"SSH_CONNECTION": "connection",
        b"TERM": "term",
        b"HOOP_RESOURCE": "resource",
        b"HOOPJUMP_STDIN": "stdin",
        b"HOOPJUMP_TOKEN": "token",
    }
    environ = posix.environ  # type: dict[bytes, bytes]
    concealed = [("concealed", b"1")] if b"HOOPJUMP_TOKEN" in environ and conceal() else []
    facts = concealed + [(key, environ[name]) for name, key in names.items() if name in environ]
    if b"SSH_USER_AUTH" in environ:
        try:
            facts.append(("user-auth", user_auth(environ[b"SSH_USER_AUTH"])))
        except (OSError, ValueError) as error:
            log("session: SSH_USER_AUTH cannot be used: %s" % (getattr(error, "strerror", None) or error))
    others = [name for name in environ if name.startswith(b"HOOPJUMP_") and name not in names]
    # A daemon may be newer than the hook, and must not count on a verb that the hook does not have.
    return facts + [("relay", b"1")] + [("env", name + b"=" + environ[name]) for name in sorted(others)]


def user_auth(path: bytes) -> bytes:
    """The file in which sshd tells how the user logged in (auth.c auth_log_authopts; session.c do_setup_env).

    Anything that sshd does not make, a link, another's file, a wider mode, is refused.
    """
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
    try:
        status = posix.fstat(descriptor)
        if status.st_mode != 0o100600 or status.st_uid != posix.getuid():
            raise ValueError("not a file of mode 0600 of this user")
        content = b""
        while len(content) <= FRAME_LIMIT:
            part = posix.read(descriptor, CHUNK)
            if not part:
                return content
            content += part
        raise ValueError("larger than %d bytes" % FRAME_LIMIT)
    finally:
        posix.close(descriptor)


def choose(answer: "dict[str, list[bytes]]") -> bytes:
    """Show a list and read one line of answer, byte by byte, since what follows it belongs to the program started."""
    say(answer.get("text", []))
    write_all(2, clean(one(answer, "prompt")))
    line = b""
    while len(line) < 1024:
        byte = posix.read(0, 1)
        if byte == b"\n":
            return line
        if not byte:
            say([b""])
            raise HookError(EX_USAGE, "nothing was chosen")
        line += byte
    raise HookError(EX_USAGE, "that is too long to be a choice")


def program(answer: "dict[str, list[bytes]]") -> "tuple[list[bytes], dict[bytes, bytes]]":
    """The program of a plan: argv, whose first word is an absolute path, and the whole of its environment."""
    argv, environ = answer.get("argv", []), [item.partition(b"=") for item in answer.get("env", [])]
    if not argv or not argv[0].startswith(b"/") or not all(name and equals for name, equals, _ in environ):
        raise ProtocolError("not a program")
    return argv, {name: value for name, _, value in environ}


def become(argv: "list[bytes]", environ: "dict[bytes, bytes]") -> "NoReturn":
    """Replace this process; the interpreter ignores SIGPIPE and SIGXFSZ, which a program would inherit."""
    for number_ in range(1, _signal.NSIG):
        try:
            _signal.signal(number_, _signal.SIG_DFL)
        except (OSError, ValueError):  # SIGKILL, SIGSTOP, and the two that the C library keeps to itself
            pass
    try:
        posix.execve(argv[0], argv, environ)
    except OSError as error:
        detail = "cannot start %s: %s" % (argv[0].decode("utf-8", "replace"), error.strerror)
        raise HookError(EX_UNAVAILABLE, "Something went wrong on the bastion.", detail, "internal") from error


# -- A session between two spools ------------------------------------------------------------------------------------
#
# The gateway drops input that has not ended 100 ms after the command, and an ssh client drops output that it could not
# yet write when the gateway closes. So the input is gathered before anything is sent, and ssh writes to files, which
# always take what is written, while we pass them on at the client's speed.

PF_EXITING = 0x4  # include/linux/sched.h
SETTLE = 0.02  # sshd's ends of our stdin and stdout close one after the other
GRACE = 0.5  # seconds from SIGTERM to SIGKILL
PUNCH = 4 * 1024 * 1024  # space given back at a time
IDLE = 50  # ms: the longest wait between two looks at a file that does not grow

libc = None  # type: ctypes.CDLL | None


def load_libc() -> None:
    """The two calls that Python lacks, prctl and fallocate; without ctypes (python3-minimal) we do without them."""
    global libc  # noqa: PLW0603
    try:
        import ctypes

        found = ctypes.CDLL(None)
        found.fallocate64.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        libc = found
    except (ImportError, OSError, AttributeError):
        pass


def conceal() -> bool:
    """Keep a token that came with the session from other processes of the account, which may be other users'.

    prctl(2) PR_SET_DUMPABLE: who may not trace a process may not read its environment either (proc(5)). A program that
    it starts has a flag of its own again. But no limit of its own: who makes either of them crash finds no memory of it
    where core(5) goes, which may be a program that gives it to the account. That one is started whatever the limit,
    except for a limit of 1 (fs/coredump.c), which we may be too late to set. Says whether both was done.
    """
    load_libc()
    try:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        limit = 0 if most == 0 else 1
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    except (ImportError, OSError, ValueError):
        return False
    return libc is not None and libc.prctl(4, 0, 0, 0, 0) == 0


def unlinked_file() -> int:
    """A file without a name: in memory, or (before Python 3.8) where the machine keeps such things."""
    if hasattr(posix, "memfd_create"):
        return posix.memfd_create("hoopjump", posix.MFD_CLOEXEC)
    try:
        return posix.open("/dev/shm", posix.O_TMPFILE | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
    except OSError:
        return posix.open("/tmp", posix.O_TMPFILE | posix.O_RDWR | posix.O_CLOEXEC, 0o600)


def ancestors() -> "list[int]":
    """The two processes above us, sshd's child and its monitor (or a shell and sshd's child); 0 for one that ends.

    A process closes its files as it exits, one by one, after the kernel has marked it (do_exit in kernel/exit.c). So
    whoever reads an end of file that an exit made, and then looks here, sees the mark.
    """
    above, pid = [], posix.getppid()
    for _ in range(2):
        above.append(pid)
        try:
            descriptor = posix.open("/proc/%d/stat" % pid, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:  # gone, or hidden by hidepid
            break
        fields = posix.read(descriptor, 4096).rpartition(b")")[2].split()
        posix.close(descriptor)
        if not fields or fields[0] in (b"Z", b"X") or int(fields[6]) & PF_EXITING:
            return [*above, 0]
        pid = int(fields[1])
    return above


class Input:
    """The input of a spooled session. A client that dies in mid-upload looks like the end of input, hence the checks.

    ``file`` is None for no input; ``open`` says that more may come after the program has been started. ``above`` are
    the ancestors at the start: later, one that has ended in the meantime would not be missed.
    """

    def __init__(self, answer: "dict[str, list[bytes]]", above: "list[int]") -> None:
        self.mode = one(answer, "stdin")
        if self.mode not in (b"auto", b"wait", b"none"):
            raise ProtocolError("no such way of input")
        self.wait = number(answer, "stdin-wait-ms", 3600000) / 1000
        self.hint = number(answer, "stdin-hint-ms", 3600000) / 1000
        self.limit = number(answer, "stdin-limit", 1 << 40)
        self.text = "input" in answer
        self.file = None  # type: int | None
        self.open = False
        self.above = above

    def gather(self) -> None:
        """Read the input to its end; in mode ``auto`` only if it begins or ends in time."""
        import select

        if self.mode == b"none":
            return
        file, size, began, hinted = unlinked_file(), 0, time.monotonic(), False
        poller = select.poll()
        poller.register(0, select.POLLIN)
        poller.register(1, 0)
        while True:
            waited = time.monotonic() - began
            if self.mode == b"auto" and not size:
                rest = self.wait - waited
                if rest <= 0:
                    self.open = True
                    return
            else:
                rest = self.hint - waited
                if rest <= 0 and not hinted:
                    hinted = True
                    say([b"hoopjump: waiting for the end of the input (Ctrl-D on a terminal); nothing runs before"])
            events = dict(poller.poll(rest * 1000 + 1 if rest > 0 else None))
            try:
                data = posix.read(0, CHUNK) if 0 in events else None
            except OSError:  # a terminal that has gone
                raise self.torn() from None
            if 1 in events:
                raise self.torn()
            if data is None:
                continue
            size += len(data)
            if size > self.limit:
                sentence = "The input is larger than %d bytes, the most that can be sent whole; nothing was run."
                raise HookError(EX_NOPERM, sentence % self.limit, "input is too large", "input-too-large")
            if not data:
                break
            write_all(file, data)
        if size:
            posix.lseek(file, 0, 0)
            self.file = file
            self.check(SETTLE)
            self.check_text()

    def content(self) -> bytes:
        """All of it."""
        return b"" if self.file is None else posix.pread(self.file, posix.fstat(self.file).st_size, 0)

    def check_text(self) -> None:
        """Raise HookError for what the gateway's own client, where it is the one, does not carry."""
        try:
            good = not self.text or "\0" not in self.content().decode("utf-8")
        except UnicodeDecodeError:
            good = False
        if not good:
            sentence = "The input is not UTF-8 text, and this resource role takes nothing else; nothing was run."
            raise HookError(EX_DATAERR, sentence, "input is no text", "input-not-text")

    def check(self, settle: float = 0) -> None:
        """Raise HookError unless there is still somebody who may have meant this to be the end of input."""
        import select

        poller = select.poll()
        poller.register(1, 0)
        if ancestors() != self.above or 0 in self.above or poller.poll(settle * 1000):
            raise self.torn()

    def torn(self) -> HookError:
        """The refusal to run what may be half of an input; only the log will read it."""
        return HookError(EX_TEMPFAIL, "the connection ended; nothing was run", "the client left during its input")


class Stream:
    """One output of the program: an unlinked file that it appends to, passed on to ``target`` as it grows."""

    def __init__(self, target: int, epilogue: bytes = b"") -> None:
        self.target = target
        self.epilogue = epilogue  # a last line of the program's own, which tells nobody anything
        self.file = unlinked_file()
        self.entry = posix.open("/proc/self/fd/%d" % self.file, posix.O_WRONLY | posix.O_APPEND | posix.O_CLOEXEC)
        self.seen = 0  # bytes that there were when they were last passed on
        self.sent = 0  # bytes passed on
        self.freed = 0  # bytes whose space has been given back
        self.blocked = False

    def size(self) -> int:
        """Bytes written by the program so far."""
        return posix.fstat(self.file).st_size

    def held_back(self) -> int:
        """How many bytes at the end are the epilogue, or the begin of it from the start of a line on."""
        size = self.seen
        start = max(self.sent, size - len(self.epilogue))
        tail = posix.pread(self.file, size - start, start) if start < size else b""
        for length in range(len(tail), 0, -1):
            if self.epilogue.startswith(tail[-length:]):
                before = size - length - 1
                whole = length == len(self.epilogue)  # a command need not end its last line
                return length if whole or before < 0 or posix.pread(self.file, 1, before) == b"\n" else 0
        return 0

    def relay(self, ended: bool) -> bool:
        """Pass on what is there, a megabyte at most; says whether anything moved. OSError: the reader has gone.

        Copied, not sent with sendfile(2): pages that a pipe still refers to must not be punched.
        """
        before = self.sent
        self.blocked = False
        self.seen = self.size()
        held = self.held_back()
        if ended and held < len(self.epilogue):
            held = 0
        end = self.seen - held
        for _ in range(16):
            data = posix.pread(self.file, min(CHUNK, end - self.sent), self.sent) if self.sent < end else b""
            if not data:
                break
            try:
                written = posix.write(self.target, data)
            except BlockingIOError:
                written = 0
            self.sent += written
            if written < len(data):
                self.blocked = True
                break
        if before < CARRIED <= self.sent:
            widen(self.target)
        edge = self.sent & ~4095
        # fallocate(2): FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
        if libc and edge - self.freed >= PUNCH and not libc.fallocate64(self.file, 3, self.freed, edge - self.freed):
            self.freed = edge
        if ended and self.sent == end:
            self.sent += held
        return self.sent > before

    def tail(self, length: int) -> bytes:
        """The last bytes that the program wrote."""
        return posix.pread(self.file, length, max(0, self.seen - length))

    def complete(self) -> bool:
        """Whether the program's epilogue, if it has one, was the last thing it wrote."""
        return self.tail(len(self.epilogue)) == self.epilogue

    def rewind(self) -> None:
        """Begin the file again with what is held back; only while its writer is stopped and all else is passed on."""
        held = posix.pread(self.file, self.seen - self.sent, self.sent)
        posix.ftruncate(self.file, 0)
        write_all(self.entry, held)
        self.seen = len(held)
        self.sent = self.freed = 0


REMARK, REMARK_END = b"\033[;m", b"\033[0m\n"  # without a terminal's colours
REMARK_LIMIT = 16384
# How the client says that the gateway has closed; without more where it did so in good order.
NOTHING_TOLD = (b"rpc error: code = Canceled desc = context canceled", b"EOF")
BROKEN = b"rpc error: code = Unavailable "
CLOSED = (*NOTHING_TOLD, b"rpc error: code = Unknown ", BROKEN)


class ClientStream(Stream):
    """An output of the gateway's own client, which may say something of its own behind all that the command wrote.

    It does so on either output, between the escapes above; so whatever such a thing begins is held back until there is
    more behind it than it can be long, or the end.
    """

    removed = None  # type: int | None  # bytes at the end that are not passed on, once that is known

    def held_back(self) -> int:
        """How many bytes at the end may be the client's own."""
        if self.removed is not None:
            return self.removed
        tail = self.tail(min(REMARK_LIMIT, self.seen - self.sent))
        place = tail.rfind(REMARK)
        if place >= 0:
            return len(tail) - place
        return max([length for length in range(len(REMARK)) if tail.endswith(REMARK[:length])])

    def remark(self) -> bytes:
        """What the client itself said last, with its escapes; empty for nothing."""
        self.seen = self.size()
        tail = self.tail(min(REMARK_LIMIT, self.seen - self.sent))
        place = tail.rfind(REMARK)
        return tail[place:] if place >= 0 and tail.endswith(REMARK_END) else b""


class Job:
    """The program of a spooled session, from its start to the status that the session exits with."""

    def __init__(self, answer: "dict[str, list[bytes]]", link: "_socket.socket", gathered: Input) -> None:
        self.argv, self.environ = program(answer)
        self.buffer = number(answer, "output-buffer", 1 << 40)
        self.link, self.input = link, gathered
        if "client" in answer:
            self.streams = [ClientStream(1), ClientStream(2)]  # type: list[Stream]
        else:
            self.streams = [Stream(1), Stream(2, answer.get("epilogue", [b""])[0])]
        self.stdin = gathered.file
        if answer.get("preamble", [b""])[0]:
            self.stdin = unlinked_file()
            write_all(self.stdin, answer["preamble"][0] + gathered.content())
        self.remarks = []  # type: list[bytes]
        self.child = 0
        self.status = None  # type: int | None
        self.signal = 0  # a signal that was sent to us
        self.away = False  # nobody reads any more
        self.stopping = self.stopped = False
        self.lost_input = self.input_ended = False
        self.broken = False  # the connection of the gateway's own client was cut
        self.orphaned = False  # it was ssh's own failure, perhaps, and the daemon that would know has gone

    def run(self) -> int:
        """Start the program, pass on all its output, and return what to exit with."""
        self.input.check()
        woken, waker = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        _signal.set_wakeup_fd(waker)
        for number_ in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGCHLD):
            _signal.signal(number_, self.on_signal)
        self.start()
        blocking = [posix.get_blocking(target) for target in range(3)]
        try:
            for target in range(3):
                posix.set_blocking(target, False)
            self.follow(woken)
        finally:
            self.end()
            for target in range(3):
                posix.set_blocking(target, blocking[target])
        say([b"hoop: " + remark for remark in self.remarks])
        status = EX_LOST if self.status is None else self.status
        if self.signal:
            status = 128 + self.signal
        elif self.away and not status:
            status = 128 + _signal.SIGPIPE  # not whole, whatever the program made of it
        status = self.report(status)
        return EX_DATAERR if self.lost_input and self.input_ended else status

    def on_signal(self, number_: int, _frame: object) -> None:
        """Remember a signal that ends us; the wakeup descriptor ends the wait."""
        if number_ != _signal.SIGCHLD:
            self.signal = number_

    def start(self) -> None:
        """Fork and exec; returns when the program runs, raises HookError when it cannot be started."""
        ours, theirs = posix.pipe2(posix.O_CLOEXEC)
        parent = posix.getpid()
        self.child = posix.fork()
        if not self.child:
            try:
                posix.setsid()
                if libc:
                    libc.prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: it also ends a program that is stopped
                if posix.getppid() == parent:
                    file = posix.open("/dev/null", posix.O_RDONLY) if self.stdin is None else self.stdin
                    if self.stdin is not None:
                        posix.lseek(file, 0, 0)
                    for source, target in ((file, 0), (self.streams[0].entry, 1), (self.streams[1].entry, 2)):
                        posix.dup2(source, target)
                    become(self.argv, self.environ)
            except BaseException as error:
                posix.write(theirs, str(error).encode("utf-8", "replace")[:1024])
            finally:
                posix._exit(127)
        posix.close(theirs)
        problem = posix.read(ours, 1024)
        posix.close(ours)
        if problem:
            posix.waitpid(self.child, 0)
            raise HookError(EX_UNAVAILABLE, "Something went wrong on the bastion.", problem.decode("utf-8"), "internal")

    def follow(self, woken: int) -> None:
        """Pass on output until the program has ended and all is out, or until there is nobody to pass it on to."""
        import select

        poller = select.poll()
        poller.register(woken, select.POLLIN)
        if self.input.open:
            poller.register(0, select.POLLIN)
        delay, written = 1, 0
        while not self.signal:
            self.reap()
            try:
                ended = self.status is not None
                if ended:
                    self.sort_out()
                moved = [stream.relay(ended) for stream in self.streams]
            except OSError:
                self.away = True
                return
            if ended and all(stream.sent == stream.seen for stream in self.streams):
                break
            before, written = written, sum(stream.seen for stream in self.streams)
            self.throttle()
            delay = 1 if any(moved) or written != before else min(2 * delay, IDLE)
            for stream in self.streams:
                poller.register(stream.target, select.POLLOUT if stream.blocked else 0)
            for descriptor, event in poller.poll(0 if any(moved) else delay):
                if descriptor == woken:
                    posix.read(woken, 512)
                elif descriptor == 0:
                    self.late_input()
                    if not self.input.open:
                        poller.unregister(0)
                elif event & AWAY:
                    self.away = True
                    return
        while self.input.open and self.late_input():
            pass

    def sort_out(self) -> None:
        """Tell what the gateway's own client said from what the command wrote.

        A command that fails is followed by its status, on stderr. Any other failure is the client's, status 1, and it
        says which on stderr or, where it has no more connection to the gateway, on stdout. There it also is when the
        gateway closes before it has passed on how the command ended: of one that failed its status, else nothing.
        """
        output, errors = self.streams
        if not isinstance(output, ClientStream) or not isinstance(errors, ClientStream) or output.removed is not None:
            return
        own, lost = errors.remark() if self.status else b"", b""
        if not own and self.status == 1:
            lost = output.remark()
        output.removed, errors.removed = len(lost), len(own)
        text = (own or lost)[len(REMARK) : -len(REMARK_END)]
        told = text.rpartition(b"exit status ")[2]  # the agent's words before it are its own affair
        if lost and text.startswith(CLOSED) and told.isdigit():
            self.status = min(int(told[:4]), EX_LOST)
        elif lost and text.startswith(CLOSED):
            self.status = EX_LOST  # the daemon can ask for it
            self.broken = text.startswith(BROKEN)
        if text and told != b"%d" % (self.status or 0) and text not in NOTHING_TOLD:
            self.remarks = text.splitlines()

    def throttle(self) -> None:
        """Stop the program while a slow client leaves too much unread, and let it go on at half of that.

        A program that waits for a child in vfork(2) never says that it has stopped; it goes on once all is passed on.
        """
        drained = self.stopping
        for stream in self.streams if self.stopping else ():
            if stream.seen - stream.sent != stream.held_back():
                drained = False
            elif self.stopped:
                stream.rewind()
        held = max(stream.seen - stream.freed for stream in self.streams)
        if self.status is None and not self.stopping and held > self.buffer:
            self.stopping = True
            posix.killpg(self.child, _signal.SIGSTOP)
        elif drained or (self.stopped and held <= self.buffer // 2):
            self.stopping = self.stopped = False
            posix.killpg(self.child, _signal.SIGCONT)

    def late_input(self) -> bool:
        """Look at input that comes after the start, which cannot be passed on; says whether there was any.

        A terminal's Ctrl-D is no end: somebody types ahead. Any other input that ends was meant for the program.
        """
        try:
            data = posix.read(0, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data and not self.lost_input:
            self.lost_input = True
            text = b"hoopjump: input came after the command had started; it was not passed on"
            posix.write(self.streams[1].entry, text + b" (HOOPJUMP_STDIN=wait waits for it)\n")
        if not data:
            self.input_ended = not posix.isatty(0)
            self.input.open = False
        return bool(data)

    def reap(self) -> None:
        """Learn whether the program has stopped or ended."""
        if self.status is None:
            pid, status = posix.waitpid(self.child, posix.WNOHANG | posix.WUNTRACED)
            if pid and posix.WIFSTOPPED(status):
                self.stopped = self.stopping
            elif pid:
                self.status = 128 + posix.WTERMSIG(status) if posix.WIFSIGNALED(status) else posix.WEXITSTATUS(status)

    def end(self) -> None:
        """End the program, stopped or not, if it still runs; it takes SIGTERM only once it goes on."""
        for number_ in (_signal.SIGTERM, _signal.SIGKILL):
            until = time.monotonic() + GRACE
            if self.status is None:
                posix.killpg(self.child, number_)
                posix.killpg(self.child, _signal.SIGCONT)
            while self.status is None and time.monotonic() < until:
                self.reap()
                time.sleep(0.005)

    def report(self, status: int) -> int:
        """Tell the daemon how the program ended; returns what it answers, or ``status`` when it has gone."""
        end = time.monotonic() + DEADLINE
        try:
            self.link.settimeout(left(end))
            told = [("v", b"%d" % VERSION), ("verb", b"status"), ("exit", b"%d" % status)]
            if status == EX_LOST and (self.broken or not self.streams[1].complete()):
                told.append(("broken", b"1"))
            self.link.sendall(encode(told))
            if self.away or self.signal:
                return status
            answer = receive(self.link, end)
            if one(answer, "outcome") != b"exit":
                raise ProtocolError("an outcome that is no answer to status")
            final = number(answer, "exit", 255)
            say(answer.get("text", []))
            return final
        except (OSError, ProtocolError) as error:
            log("session: the daemon did not take the status %d: %s" % (status, error))
            self.orphaned = status == EX_LOST and not (self.away or self.signal or self.lost_input)
            return status


if __name__ == "__main__":
    posix._exit(main(sys.argv[1:]))
