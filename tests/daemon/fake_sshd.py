"""Stands for sshd's monitor: forks what a monitor forks, as it is told on standard input, one JSON object a line.

Standard library only; started with an interpreter of its own. Every answer is one JSON object a line.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

LINE = 42
TEST = os.getppid()


def answer(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def become(uid: int | None) -> None:
    if uid is not None and os.getuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def child(uid: int | None, work: Callable[[], Any]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            become(uid)
            work()
        finally:
            os._exit(0)
    return pid


def sleep() -> None:
    """Outlive the monitor, as sshd's children may, but not the test run."""
    os.closerange(0, 2)
    while True:
        time.sleep(1)
        try:
            os.kill(TEST, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass


def exchange(path: str, data: bytes) -> bytes | None:
    """Send bytes, give everything that comes back, or None when the connection breaks."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        try:
            connection.sendall(data)
            reply = b""
            while piece := connection.recv(65536):
                reply += piece
        except ConnectionError:
            return None
        return reply


def ask(order: dict[str, Any]) -> None:
    reply = exchange(order["socket"], bytes.fromhex(order["data"]))
    answer(reply=None if reply is None else reply.hex(), pid=os.getpid())


def insist(order: dict[str, Any]) -> None:
    """As the hook does: one more attempt when the connection ends without an answer."""
    for _ in range(2):
        reply = exchange(order["socket"], bytes.fromhex(order["data"]))
        if reply:
            os._exit(LINE if b"7:outcome,4:line," in reply else 1)


def orphan(order: dict[str, Any]) -> None:
    """A hook that asks when its monitor, which leads a session as sshd's does, has ended."""
    os.setsid()
    monitor = os.getpid()

    def outlive() -> None:
        while os.getppid() == monitor:
            time.sleep(0.005)
        ask(order)

    child(order.get("uid"), outlive)


def session(order: dict[str, Any]) -> None:
    """What sshd has as its own process for the user, and below it what ForceCommand starts."""
    os.waitpid(child(None, partial(ask, order)), 0)


def stay() -> None:
    """A session's process that outlives it, with a child of its own."""
    answer(inner=child(None, sleep), pid=os.getpid())
    sleep()


def main() -> None:
    preauth = None
    for line in sys.stdin:
        order = json.loads(line)
        uid = order.get("uid")
        if order["do"] == "preauth":
            preauth = child(uid, sleep)
            answer(pid=preauth)
        elif order["do"] == "hook":
            os.waitpid(child(uid, partial(ask, order)), 0)
        elif order["do"] == "abandon":
            answer(pid=child(uid, partial(exchange, order["socket"], bytes.fromhex(order["data"]))))
        elif order["do"] == "orphan":
            os.waitpid(child(None, partial(orphan, order)), 0)
        elif order["do"] == "storm":
            children = []
            for _ in range(order["count"]):
                children.append(child(uid, partial(insist, order)))
                time.sleep(0.01)
            answer(lines=sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == LINE for pid in children))
        elif order["do"] == "login":
            if preauth is not None:
                os.kill(preauth, signal.SIGKILL)
                os.waitpid(preauth, 0)
                preauth = None
            answer(pid=child(uid, sleep))
        elif order["do"] == "session":
            os.waitpid(child(uid, partial(session, order)), 0)
        elif order["do"] == "leave":
            child(uid, stay)
        elif order["do"] == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            answer()
        elif order["do"] == "quit":
            os._exit(0)


main()
