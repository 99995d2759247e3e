"""`hoopjump cert`: look into a certificate, and issue one."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hoopjump.cli import output, signing_key
from hoopjump.cli.anatomy import describe, lines
from hoopjump.cli.files import PUBLIC, read_bounded, write
from hoopjump.cli.flaws import FLAWS, find
from hoopjump.cli.request import FORWARDING_AND_TERMINAL, Wishes, certificate_for
from hoopjump.cli.subject import key_line, read_subject
from hoopjump.cli.validity import parse_window
from hoopjump.decision.certificate import (
    TEXT_LIMIT,
    Certificate,
    CertificateError,
    read_certificate,
    verify_ca_signature,
)
from hoopjump.decision.moments import moment_text
from hoopjump.errors import HoopjumpError

_EXAMPLE = "Example: hoopjump cert issue --ca user_ca --principal alice@example.com --valid 8h id_ed25519.pub"
_FLAW_LIST = f"{_EXAMPLE}\n\n\b\nFlaws:\n" + "\n".join(f"  {name:26} {flaw.text}" for name, flaw in FLAWS.items())


@click.group()
def cert() -> None:
    """Issue and inspect OpenSSH certificates."""


@cert.command(epilog="Example: hoopjump cert inspect id_ed25519-cert.pub")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: str, as_json: bool) -> None:
    """Show every field of the certificate in FILE (`-`: stdin).

    Exit status 0 when it is well-formed and signed by the CA that it names, also when it has expired; 1 when not, with
    one sentence that says why. Whether that CA is trusted is not looked at.
    """
    try:
        certificate = _read_signed(file)
    except CertificateError as error:
        if as_json:
            output.result_json({"well_formed": False, "field": error.field, "error": str(error)})
        raise HoopjumpError(f"{file}: {error}") from error
    now = int(time.time())
    if as_json:
        output.result_json({"well_formed": True, **describe(certificate, now)})
        return
    for label, value in lines(certificate, now):
        output.result(f"{label:17} {value}".rstrip())


def _read_signed(file: str) -> Certificate:
    certificate = read_certificate(read_bounded(file, TEXT_LIMIT))
    if not verify_ca_signature(certificate):
        raise CertificateError("signature", "is not by the CA that the certificate names")
    return certificate


@cert.command(epilog=_FLAW_LIST)
@click.argument("public_key")
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), required=True, help="Private key file of the CA.")
@click.option("--principal", "principals", multiple=True, help="Whom it names; may be repeated.")
@click.option("--key-id", help="Key ID, as logs show it.  [default: the first principal]")
@click.option("--valid", "window", default="8h", show_default=True, help="A duration, or FROM:TO as for ssh-keygen -V.")
@click.option(
    "--extension",
    "extensions",
    multiple=True,
    metavar="NAME[=VALUE]",
    help=f"An extension; the first one replaces the usual ones ({', '.join(FORWARDING_AND_TERMINAL)}).",
)
@click.option("--no-extensions", is_flag=True, help="None at all.")
@click.option(
    "--critical-option", "critical_options", multiple=True, metavar="NAME[=VALUE]", help="Such as source-address=CIDR."
)
@click.option("--serial", type=click.IntRange(0, 2**64 - 1), help="Serial number.  [default: a random one]")
@click.option("--host", is_flag=True, help="A host certificate.")
@click.option("--flaw", metavar="NAME", help="Make it wrong in this way, for tests; the flaws stand below.")
@click.option("--out", "target", metavar="FILE", help="Where to write it (`-`: stdout).  [default: KEY-cert.pub]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def issue(  # noqa: PLR0917  # click hands every option over by its name
    public_key: str,
    ca_file: Path,
    principals: tuple[str, ...],
    key_id: str | None,
    window: str,
    extensions: tuple[str, ...],
    no_extensions: bool,
    critical_options: tuple[str, ...],
    serial: int | None,
    host: bool,
    flaw: str | None,
    target: str | None,
    force: bool,
) -> None:
    """Certify an OpenSSH public key.

    PUBLIC_KEY is its file (`-`: stdin); every kind will do, FIDO keys (sk-) included.
    """
    if no_extensions and extensions:
        raise click.UsageError("--extension and --no-extensions contradict each other")
    now = int(time.time())
    wrong = find(flaw) if flaw else None
    subject, comment = read_subject(public_key, weak=flaw == "weak-key")
    wishes = Wishes(
        subject=subject,
        principals=principals,
        key_id=key_id,
        window=parse_window(window, now),
        extensions=() if no_extensions or host else extensions or FORWARDING_AND_TERMINAL,
        critical_options=critical_options,
        serial=serial,
        host=host,
    )
    spec, blob = certificate_for(wishes, signing_key.read(ca_file), wrong, now)
    line = f"{key_line(blob, comment if comment.isprintable() else '')}\n"
    place = target or ("-" if public_key == "-" else f"{public_key.removesuffix('.pub')}-cert.pub")
    if place == "-":
        output.result(line.rstrip("\n"))
    else:
        write(Path(place), line.encode(), PUBLIC, replace=force)
        output.result(place)
    named = ", ".join(output.shown(name) for name in spec.principals[:3]) or "nobody"
    output.say(f"certificate for {named}, serial {spec.serial}, valid to {moment_text(spec.valid_before)}")
    if flaw and wrong:
        output.warn(f"for tests only: it {wrong.text}")
