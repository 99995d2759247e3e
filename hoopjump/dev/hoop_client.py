"""A stand-in for the gateway's own client, ``hoop``: what it takes and how it talks, with a local bash as the role.

:func:`install` makes a program of it whose file cannot be read by who starts it. A script could not be: its
interpreter has to read it. So it is a copy of the interpreter, which a ``.pth`` file (site) has import this one.

Its words and statuses are those of the real one, with the real gateway and agent (1.148). What the agent says of a
command that fails comes from a part of it that is not public; these are the words that were there when it was.

Standard library only. Words in the input have it end as the real one was seen to when the gateway closes before the
status has been read, with an error on stdout, and 1:

- ``#overtaken``: as the command ends; that is so with up to 6 of 100
- ``#killed``: for a reason of its own
- ``#gone``: for none
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

NAME = "hoop_stand_in"
NEEDED = ("HOOP_APIURL", "HOOP_GRPCURL", "HOOP_TOKEN")


def install(directory: Path, mode: int = 0o711) -> Path:
    """Put the stand-in below a directory; the program's path."""
    interpreter = Path("/usr/bin/python3").resolve()
    program = directory / "bin" / "hoop"
    packages = directory / "lib" / interpreter.name / "site-packages"
    for folder in (program.parent, packages):
        folder.mkdir(parents=True, exist_ok=True)
    (directory / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\n")
    (packages / f"{NAME}.py").write_text(Path(__file__).read_text())
    (packages / f"{NAME}.pth").write_text(f"import {NAME}\n")
    shutil.copyfile(interpreter, program)
    program.chmod(mode if os.geteuid() == 0 else mode & ~0o444)
    return program


def remark(text: str) -> str:
    """What the client says itself, styled as it is where there are no colours."""
    return f"\033[;m{text}\033[0m\n"


def fail(text: str) -> NoReturn:
    """End as the client does when it fails: the error on stdout, exit 1."""
    os.write(1, remark(text).encode())
    os._exit(1)


def ending(status: int) -> str:
    """How the agent says that a command failed."""
    how = f"exit status {status}" if status > 0 else f"signal: {signal.strsignal(-status)}".lower()
    return f"failed executing command, reason={how}"


def execute(role: str) -> NoReturn:
    """``hoop exec ROLE``."""
    data = b"" if os.isatty(0) else sys.stdin.buffer.read()
    try:
        script = data.decode()
    except UnicodeDecodeError:
        script = "\0"
    if "\0" in script:
        fail("rpc error: code = Internal desc = internal error, failed updating session input")
    if role != "mybash":
        fail("rpc error: code = NotFound desc = connection not found")
    shell = {"PATH": "/usr/bin:/bin", "HOOP_CLIENT_PID": str(os.getpid())}
    status = subprocess.run(["/bin/bash"], input=data, env=shell, check=False).returncode
    if "#overtaken" in script and status:
        fail(f"rpc error: code = Unknown desc = {ending(status)}")
    if "#overtaken" in script:
        fail("rpc error: code = Canceled desc = context canceled")
    if "#killed" in script:
        fail("rpc error: code = Unknown desc = Access to connection has been denied\n  Reason: not today")
    if "#gone" in script:
        fail("rpc error: code = Unavailable desc = error reading from server: EOF")
    if status:
        os.write(2, remark(ending(status)).encode())
    os._exit(status if status >= 0 else 255)


def connect(options: list[str]) -> NoReturn:
    """``hoop connect ROLE``: an interactive shell."""
    if not os.isatty(0):
        fail("could not allocate terminal")
    if os.environ.get("TERM") != "dumb":
        fail("asks the terminal for its colours, and waits")
    given = dict(word.split("=", 1) for word in options if "=" in word)
    os.write(1, "\033[?25l\r\033[K\r\u28fe connecting to gateway...\033[?25h\r\033[K".encode())
    shell = {"PATH": "/usr/bin:/bin", "PS1": "$ ", **given}
    status = subprocess.run(["/bin/bash", "--norc", "-i"], env=shell, check=False).returncode
    if status:
        os.write(2, remark(ending(status)).encode())
    os._exit(status if status >= 0 else 254)


def main(words: list[str]) -> NoReturn:
    """Run as the client."""
    verb, *rest = words
    options, role = rest[: rest.index("--")], rest[-1]
    if not all(os.environ.get(name) for name in NEEDED):
        fail("unable to load credentials, configuration invalid or missing token")
    if verb == "exec":
        execute(role)
    connect(options)


if __name__ == NAME:
    main(sys.orig_argv[1:])
