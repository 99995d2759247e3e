"""`hoopjump ca`: a certification authority whose key is a file."""

from __future__ import annotations

from pathlib import Path

import click

from hoopjump.cli import output, signing_key
from hoopjump.cli.files import PRIVATE, PUBLIC, refuse_existing, write
from hoopjump.cli.subject import key_line
from hoopjump.decision.keys import fingerprint
from hoopjump.handoff.issue import PrivateKeySigner


@click.group()
def ca() -> None:
    """Make a certification authority for users."""


@ca.command(epilog="Example: hoopjump ca create user_ca")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--type",
    "kind",
    type=click.Choice(signing_key.KINDS),
    default="ed25519",
    show_default=True,
    help="The kind of key.",
)
@click.option("--comment", default="hoopjump user CA", show_default=True, help="The comment of the public key.")
@click.option("--no-passphrase", is_flag=True, help="Do not ask for a passphrase; the key lies open in the file.")
@click.option("--force", is_flag=True, help="Replace files that are there. The old key is lost.")
def create(file: Path, kind: str, comment: str, no_passphrase: bool, force: bool) -> None:
    """Make the key of a CA.

    FILE gets the private key (mode 0600), FILE.pub the public one, for trust.user_cas and the gateway's trusted CAs.
    """
    public = file.with_name(f"{file.name}.pub")
    if not comment.isprintable():
        raise click.UsageError("the comment holds control characters")
    if not force:
        refuse_existing(file, public)
    passphrase = ""
    if not no_passphrase:
        passphrase = click.prompt("Passphrase of the new CA key", hide_input=True, confirmation_prompt=True, err=True)
    key = signing_key.generate(kind)
    blob = PrivateKeySigner(key).public_key
    write(file, signing_key.serialize(key, passphrase), PRIVATE, replace=force)
    write(public, f"{key_line(blob, comment)}\n".encode(), PUBLIC, replace=force)
    output.say(f"{file}: new CA key {fingerprint(blob)}")
    output.result(str(public))
