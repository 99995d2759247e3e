"""`hoopjump krl`: key revocation lists, made by ssh-keygen and put in place only when they are proven.

sshd reads RevokedKeys at every login: a missing or damaged list refuses everybody and an empty file revokes nothing.
So a list is made as a new file, checked by ssh-keygen -Q, and then renamed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hoopjump.atomic import alone
from hoopjump.cli import output
from hoopjump.cli.files import read_bounded, refuse_existing
from hoopjump.cli.subject import key_line
from hoopjump.decision.certificate import TEXT_LIMIT, CertificateError, read_certificate
from hoopjump.errors import HoopjumpError

Command = TypeVar("Command", bound=Callable[..., Any])

_SERIAL = re.compile(r"[0-9]{1,20}\Z")


class RevocationError(HoopjumpError):
    """A list cannot be made, or what should be revoked cannot be said in one."""


def _names_what(command: Command) -> Command:
    """The options that say what is revoked."""
    options = (
        click.option("--certificate", "certificates", multiple=True, metavar="FILE", help="Revoke this certificate."),
        click.option("--key-id", "key_ids", multiple=True, metavar="ID", help="Revoke certificates of this key ID."),
        click.option(
            "--serial", "serials", multiple=True, metavar="N[-M]", help="Revoke a serial, or a range of them."
        ),
        click.option(
            "--ca",
            type=click.Path(path_type=Path),
            help="Public key of the CA whose serials and key IDs are meant.  [default: every CA]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def krl() -> None:
    """Revoke certificates: key revocation lists for sshd."""


@krl.command(epilog="Example: hoopjump krl create /etc/hoopjump/revoked.krl")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_names_what
@click.option("--force", is_flag=True, help="Replace a list that is there; what it revoked is revoked no more.")
def create(  # noqa: PLR0917  # click hands every option over by its name
    file: Path,
    certificates: tuple[str, ...],
    key_ids: tuple[str, ...],
    serials: tuple[str, ...],
    ca: Path | None,
    force: bool,
) -> None:
    """Make a new list in FILE, which may revoke nothing yet."""
    with alone(_lock(file)):
        if not force:
            refuse_existing(file)
        _make(file, None, _specification(certificates, key_ids, serials), ca)
    output.result(str(file))


@krl.command(epilog="Example: hoopjump krl add /etc/hoopjump/revoked.krl --certificate id_ed25519-cert.pub")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_names_what
def add(
    file: Path, certificates: tuple[str, ...], key_ids: tuple[str, ...], serials: tuple[str, ...], ca: Path | None
) -> None:
    """Revoke more in the list FILE.

    Logins that are open go on: end them with `hoopjump logins end`.
    """
    specification = _specification(certificates, key_ids, serials)
    if not specification:
        raise click.UsageError("say what to revoke: --certificate, --key-id or --serial")
    with alone(_lock(file)):
        _listed(file)
        _make(file, file, specification, ca)
    output.result(str(file))


@krl.command(epilog="Example: hoopjump krl show /etc/hoopjump/revoked.krl")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def show(file: Path) -> None:
    """Print what the list FILE revokes."""
    for line in _listed(file):
        output.result(output.shown(line))


def _specification(certificates: tuple[str, ...], key_ids: tuple[str, ...], serials: tuple[str, ...]) -> str:
    """The lines of ssh-keygen's KRL specification; raises :class:`RevocationError` for what cannot be said in it."""
    lines = []
    for name in certificates:
        try:
            certificate = read_certificate(read_bounded(name, TEXT_LIMIT))
        except CertificateError as error:
            raise RevocationError(f"{name}: {error}") from error
        if certificate.serial == 0:
            _check_key_id(certificate.key_id)
            output.warn(f"{name} has no serial: every certificate of its CA with its key ID is revoked")
        # Without a directive ssh-keygen revokes the serial under the certificate's own CA.
        lines.append(key_line(certificate.blob))
    for key_id in key_ids:
        _check_key_id(key_id)
        lines.append(f"id: {key_id}")
    for serial in serials:
        first, dash, last = serial.partition("-")
        ends = (first, last) if dash else (first,)
        if not all(_SERIAL.match(end) and 0 < int(end) < 2**64 for end in ends) or (dash and int(last) <= int(first)):
            raise RevocationError(f"{serial!a} is not a serial number or a range of them", "write N or N-M, from 1 on")
        lines.append(f"serial: {serial}")
    return "".join(f"{line}\n" for line in lines)


def _check_key_id(key_id: str) -> None:
    # ssh-keygen.c update_krl_from_file: a line ends at `#`, and blanks at its ends are trimmed; what remained would
    # revoke another key ID than the one that was asked for.
    if not key_id or not key_id.isprintable() or "#" in key_id or key_id != key_id.strip(" "):
        raise RevocationError(
            f"the key ID {key_id!a} cannot be written in a revocation list", "revoke by --serial or --certificate"
        )


def _lock(file: Path) -> Path:
    """The list itself is replaced, so that a lock on it would hold up nobody."""
    return file.with_name(f".{file.name}.lock")


def _make(file: Path, base: Path | None, specification: str, ca: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix=".krl.", dir=file.parent) as directory:
        fresh = Path(directory) / "krl"
        if base:
            shutil.copy2(base, fresh)
        options = ["-u"] if base else []
        _keygen("-q", "-k", *options, "-s", str(ca) if ca else "none", "-f", str(fresh), "-", text=specification)
        _prove(fresh, specification)
        fresh.chmod(file.stat().st_mode & 0o777 if file.exists() else 0o644)
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.replace(file)


def _prove(fresh: Path, specification: str) -> None:
    """Every certificate named must be refused by the list, and a key that nobody revoked must not."""
    innocent = fresh.with_name("innocent")
    _keygen("-q", "-t", "ed25519", "-N", "", "-f", str(innocent))
    _keygen("-Q", "-f", str(fresh), f"{innocent}.pub")
    for number, line in enumerate(specification.splitlines()):
        if line.startswith(("id:", "serial:")):
            continue
        certificate = fresh.with_name(f"{number}-cert.pub")
        certificate.write_text(f"{line}\n", encoding="ascii")
        answer = _run("-Q", "-f", str(fresh), str(certificate))
        if answer.returncode == 0 or b"REVOKED" not in answer.stdout:
            raise RevocationError("ssh-keygen does not take the certificate for revoked; the list is left as it was")


def _listed(file: Path) -> list[str]:
    """What a list revokes, a line each, below the CA it belongs to; a file that is no list raises."""
    if not file.exists():
        raise RevocationError(f"{file}: there is no such list", f"hoopjump krl create {file}")
    text = _keygen("-Q", "-l", "-f", str(file)).decode("utf-8", "backslashreplace")
    # What else ssh-keygen writes as comments is the head: version, time and comment of the list.
    lines = [line for line in text.splitlines() if line and not line.startswith(("# KRL", "# Generated", "# Comment"))]
    return [f"{line.removeprefix('# ')}:" if line.startswith("# ") else f"  {line}" for line in lines]


def _keygen(*arguments: str, text: str = "") -> bytes:
    answer = _run(*arguments, text=text)
    if answer.returncode != 0:
        reason = (answer.stderr or answer.stdout).decode(errors="replace").strip().splitlines()
        raise RevocationError(f"ssh-keygen: {reason[-1] if reason else 'failed'}")
    return answer.stdout


def _run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=text.encode(), capture_output=True, check=False)  # noqa: S607
    except FileNotFoundError:
        raise RevocationError("ssh-keygen is not installed", "install openssh-client") from None
