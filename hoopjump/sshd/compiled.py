"""The compiled form of the hook, in ``__pycache__`` beside it: whether it is there, of this very file, and root's own.

The hook's first line has Python look there (importlib's SourceFileLoader). Whoever could write there would be the hook;
and without it every login and session waits while Python compiles.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from hoopjump.findings import Finding, failure, ok, warning
from hoopjump.sshd.paths import HOOK_SECONDS, unsafe

# Run by the hook's own interpreter, whose version decides the name: prints it, and "fresh" for one that it would take
# (PEP 3147, PEP 552: magic number, flags, the source's time and size).
_LOOK: Final = """
import importlib.util, os, sys
source = sys.argv[1]
path = importlib.util.cache_from_source(source)
print(os.path.abspath(path))
status = os.stat(source)
head = [importlib.util.MAGIC_NUMBER, bytes(4)]
head += [(int(number) & 0xFFFFFFFF).to_bytes(4, "little") for number in (status.st_mtime, status.st_size)]
try:
    with open(path, "rb") as file:
        print("fresh" if file.read(16) == b"".join(head) else "stale")
except FileNotFoundError:
    print("absent")
"""


def check_compiled(hook: Path, owners: frozenset[int]) -> Finding:
    """A hook that starts by a first line of its own."""
    name = "hook compiled"
    with hook.open("rb") as file:
        words = file.readline(256).split()
    if not words[:1] or not words[0].startswith(b"#!/"):
        return ok(name, "not looked at: the hook is started by something else")
    python = words[0][2:].decode(errors="replace")
    try:
        answer = subprocess.run(
            [python, "-ISBc", _LOOK, str(hook)], capture_output=True, text=True, timeout=HOOK_SECONDS, check=True
        )
        path, state = answer.stdout.splitlines()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return warning(name, f"{python} does not say: {type(error).__name__}", "its first line must name a python3")
    if state != "absent" and (fault := unsafe(Path(path), owners, sticky=True)):
        return failure(name, f"{fault}; whoever writes there decides who logs in", f"rm -r {Path(path).parent}")
    if state != "fresh":
        return warning(
            name,
            f"{path} is {state}: every login and session waits some 10 ms longer for Python to compile the hook",
            f"{python} -m py_compile {hook}",
        )
    return ok(name, path)
