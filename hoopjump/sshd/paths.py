"""The files that the sshd in front relies on: hook, CA keys, revocation list, /proc. Looks, and changes nothing."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from hoopjump.decision.keys import parse_public_key
from hoopjump.decision.wire import FormatError, read_key_line
from hoopjump.findings import Finding, failure, ok, warning

CA_FILE_LIMIT: Final = 1024 * 1024
HOOK_SECONDS: Final = 5.0


# By what a file comes to be there.
_MAKERS: Final = {"gateway.known_hosts": "hoopjump gateway sync writes it"}


def unsafe(path: Path, owners: frozenset[int], *, sticky: bool = False) -> str:
    """What makes a file one that others could change, or empty: misc.c safe_path, the links resolved first.

    The file must be regular, and it and each directory above must belong to one of ``owners`` and be writable by
    nobody else. sshd refuses its hook below a sticky directory such as /tmp as well; ``sticky`` lets that pass, since
    nobody can replace another's file there.
    """
    try:
        real = path.resolve(strict=True)
        status = real.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return f"{real} is not a regular file"
    for place in (real, *real.parents):
        status = place.stat()
        if status.st_uid not in owners:
            return f"{place} belongs to uid {status.st_uid}"
        if status.st_mode & 0o022 and not (sticky and status.st_mode & stat.S_ISVTX):
            return f"{place} is writable by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def check_file(name: str, path: Path, owners: frozenset[int], harm: str) -> Finding:
    """A file whose content is somebody else's matter; ``harm`` says what whoever could write it could do."""
    if not path.exists():
        return failure(name, f"{path}: is not there", _MAKERS.get(name, "put it there, or change the configuration"))
    fault = unsafe(path, owners, sticky=True)
    if fault:
        return failure(name, f"{fault}; whoever writes there {harm}", f"chown root:root {path}; chmod go-w {path}")
    return ok(name, str(path))


def check_secrets(files: Iterable[Path], owners: frozenset[int]) -> Finding:
    """What systemd hands to the services, whose own look at it comes too late: those that are there."""
    name, count = "secrets", 0
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        if status.st_uid not in owners or status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            text = f"{path}: uid {status.st_uid}, mode {mode:04o}; whoever can read it has its power"
            return failure(name, text, f"chown root:root {path}; chmod 0600 {path}; and make a new one")
        count += 1
    return ok(name, f"{count} that nobody else can read")


def check_hook(words: Sequence[str], account: str, user: str, *, rootless: bool) -> Iterator[Finding]:
    """The program of AuthorizedPrincipalsCommand: its file, and what it does with an empty certificate."""
    root = frozenset({0})
    fault = unsafe(Path(words[0]), root)
    if fault:
        yield failure("hook file", f"{fault}; sshd would not run it", "chown root:root and chmod 0755, all the way up")
        return
    # A script behind an interpreter is a file that sshd does not look at.
    owners = root | {os.getuid()} if rootless else root
    for word in words[1:]:
        if word.startswith("/") and (fault := unsafe(Path(word), owners, sticky=True)):
            yield failure("hook file", f"{fault}; whoever writes there decides who logs in", "chown root:root")
            return
    yield ok("hook file", words[0])
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        yield failure("hook user", f"there is no user {user}", f"useradd --system --shell /usr/sbin/nologin {user}")
        return
    yield ok("hook user", f"{user} (uid {entry.pw_uid})")
    yield _run_hook(words, account, entry)


def _run_hook(words: Sequence[str], account: str, user: pwd.struct_passwd) -> Finding:
    """Started as sshd starts it (misc.c subprocess): its user, /, and an environment of four names."""
    arguments = [word.replace("%u", account) if word.startswith("--user=") else word.split("%")[0] for word in words]
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        answer = subprocess.run(
            arguments,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "USER": user.pw_name, "LOGNAME": user.pw_name, "HOME": user.pw_dir},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=HOOK_SECONDS,
            check=False,
            **as_user,  # type: ignore[call-overload]
        )
    except subprocess.TimeoutExpired:
        return failure("hook run", f"no answer within {HOOK_SECONDS:g} s", "look for it in the log (syslog)")
    except OSError as error:
        return failure("hook run", f"cannot be started: {error.strerror}", "its first line must name a python3")
    if answer.stdout:
        return failure("hook run", "it let an empty certificate in", "install the hook of this version of hoopjump")
    if answer.returncode != 0 or answer.stderr:
        said = answer.stderr.decode(errors="replace").strip().splitlines()
        text = f"exit status {answer.returncode}{': ' + said[-1] if said else ''}"
        return failure("hook run", text, "a denial is exit 0 and silence; install the hook of this version")
    return ok("hook run", "denies an empty certificate, in silence")


def check_ca_file(path: Path, owners: frozenset[int]) -> Finding:
    """TrustedUserCAKeys: sshd checks no modes, and stops reading at the first line that is no key."""
    name = "CA keys"
    if not path.exists():
        return failure(name, f"{path}: is not there", "hoopjump gateway sync writes it")
    fault = unsafe(path, owners, sticky=True)
    if fault:
        return failure(name, f"{fault}; whoever writes there can be anybody", f"chown root:root {path}; chmod 0644")
    try:
        with path.open("rb") as file:
            data = file.read(CA_FILE_LIMIT + 1)
    except OSError as error:
        return failure(name, f"{path}: {error.strerror}", f"chmod 0644 {path}")
    if len(data) > CA_FILE_LIMIT:
        return failure(name, f"{path}: larger than {CA_FILE_LIMIT} bytes", "one public key a line")
    count = 0
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            parse_public_key(read_key_line(line.strip(), CA_FILE_LIMIT, "key")[1])
        except FormatError as error:
            return failure(name, f"{path}:{number}: {error}", "sshd reads no further; CAs below are not trusted")
        count += 1
    if not count:
        return failure(name, f"{path}: holds no key", "hoopjump gateway sync, or copy the CA's public key there")
    return ok(name, f"{path}: {count}")


def check_readable(user: str, files: Iterable[Path]) -> Iterator[Finding]:
    """What the daemon, which is ``user``, reads: root, who checks, could read all of it. Without root, nothing."""
    name = "hoopjumpd's files"
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        yield failure(name, f"there is no user {user}", "systemd-sysusers")
        return
    if os.geteuid() != 0:
        return
    groups = os.getgrouplist(user, entry.pw_gid)
    count = 0
    for count, path in enumerate(files, 1):  # noqa: B007  # told below
        asked = ["test", "-r", str(path)]
        if subprocess.run(
            asked, cwd="/", user=entry.pw_uid, group=entry.pw_gid, extra_groups=groups, check=False
        ).returncode:
            missing = not path.exists()
            there = "put it there, or change the configuration; a list of revoked tokens may be empty"
            hint = there if missing else f"chmod a+r {path}"
            yield failure(name, f"{path}: {'is not there' if missing else f'{user} cannot read it'}", hint)
            return
    yield ok(name, f"{user} can read all {count}")


def check_keys_directory(path: Path, user: str) -> Finding:
    """Where the daemon, which is ``user``, keeps keys of token issuers and what was dropped: its own, and there."""
    name = "daemon.keys_dir"
    hint = f"install -d -o {user} -m 0755 {path}, and StateDirectory= of hoopjumpd.service where it is below /var/lib"
    try:
        status = path.stat()
    except OSError as error:
        text = f"{path}: {error.strerror}; neither keys nor drops would outlast a restart"
        return warning(name, text, hint)
    try:
        own = status.st_uid == pwd.getpwnam(user).pw_uid
    except KeyError:
        own = False
    if not own or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o022:
        return failure(name, f"{path}: is not {user}'s alone, so what is there is not believed", hint)
    return ok(name, str(path))


def check_revocation_list(path: Path, owners: frozenset[int]) -> Finding:
    """RevokedKeys: an empty file revokes nothing, a broken or missing one refuses everybody."""
    name = "revocation list"
    fault = unsafe(path, owners, sticky=True)
    if fault:
        return failure(name, fault, f"hoopjump krl create {path}, owned by root")
    if path.stat().st_size == 0:
        return failure(name, f"{path}: is empty and revokes nothing", f"hoopjump krl create --force {path}")
    try:
        answer = subprocess.run(["ssh-keygen", "-Q", "-l", "-f", path], capture_output=True, check=False)  # noqa: S607
    except OSError:
        return warning(name, "ssh-keygen is missing, so it was not read", "install openssh-client")
    if answer.returncode != 0:
        text = f"{path}: damaged; sshd would refuse everybody"
        return failure(name, text, f"hoopjump krl create --force {path}, and revoke again")
    return ok(name, str(path))
