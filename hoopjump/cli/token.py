"""`hoopjump token`: make, look into and verify JSON Web Tokens, for tests and small set-ups."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from hoopjump.cli import output
from hoopjump.cli.files import PRIVATE, PUBLIC, refuse_existing, write
from hoopjump.cli.token_key import (
    KEY_LIMIT,
    KINDS,
    Signer,
    generate,
    public_jwk,
    read_given,
    read_secret_file,
    read_signer,
)
from hoopjump.cli.token_verify import read_token, refusal, verify_command
from hoopjump.cli.validity import parse_window
from hoopjump.decision.jose import TokenError, encode_segment, parse_segment
from hoopjump.decision.token import LATEST_DATE
from hoopjump.decision.token_policy import ALGORITHMS, HMAC_ALGORITHM
from hoopjump.errors import HoopjumpError

_PATH: Final = click.Path(path_type=Path, dir_okay=False)

_ISSUE_EXAMPLE: Final = """\b
Example:
  hoopjump token issue --key key --issuer https://idp.example.com --audience bastion \\
      --subject alice --claim 'groups=["admins"]' --valid 10m > token
"""


@click.group()
def token() -> None:
    """Make, look into and verify JSON Web Tokens."""


token.add_command(verify_command)


@token.command(epilog="Example: hoopjump token keygen --algorithm ES256 key")
@click.argument("file", type=_PATH)
@click.option(
    "--algorithm", type=click.Choice(KINDS), default="EdDSA", show_default=True, help="What it will sign with."
)
@click.option("--force", is_flag=True, help="Replace files that are there. The old key is lost.")
def keygen(file: Path, algorithm: str, force: bool) -> None:
    """Make a key that signs tokens.

    FILE gets the private key in PEM (mode 0600) and FILE.jwks the public key set; for HS256 FILE gets the secret, and
    there is no set.
    """
    public = file.with_name(f"{file.name}.jwks")
    written = [file] if algorithm == HMAC_ALGORITHM else [file, public]
    if not force:
        refuse_existing(*written)
    data = generate(algorithm)
    write(file, data, PRIVATE, replace=force)
    if public in written:
        keys = {"keys": [{**public_jwk(data, str(file)), "alg": algorithm}]}
        write(public, f"{json.dumps(keys, indent=2)}\n".encode(), PUBLIC, replace=force)
    output.say(f"{file}: new key for {algorithm}")
    output.result(str(written[-1]))


@token.command(epilog=_ISSUE_EXAMPLE)
@click.option("--key", "key_file", type=_PATH, help="Private key that signs, in PEM.")
@click.option("--secret-file", type=_PATH, help="Shared secret, for HS256.")
@click.option("--algorithm", type=click.Choice(sorted(ALGORITHMS)), help="For keys that have a choice (RSA).")
@click.option("--issuer", required=True, help="The claim iss.")
@click.option("--audience", "audiences", multiple=True, required=True, help="The claim aud; may be repeated.")
@click.option("--subject", required=True, help="The claim sub.")
@click.option("--valid", "window", default="1h", show_default=True, help="A duration, or FROM:TO as for ssh-keygen -V.")
@click.option(
    "--claim", "more", multiple=True, metavar="NAME=VALUE", help="One more claim; VALUE is JSON, else text; repeatable."
)
@click.option("--typ", default="JWT", show_default=True, help="The header typ.")
def issue(  # noqa: PLR0917  # click hands every option over by its name
    key_file: Path | None,
    secret_file: Path | None,
    algorithm: str | None,
    issuer: str,
    audiences: tuple[str, ...],
    subject: str,
    window: str,
    more: tuple[str, ...],
    typ: str,
) -> None:
    """Sign a token and print it."""
    if (key_file is None) == (secret_file is None):
        raise click.UsageError("either --key or --secret-file is needed, and not both")
    if key_file is not None:
        signer = read_signer(key_file, algorithm)
    elif secret_file is not None:
        signer = Signer(HMAC_ALGORITHM, read_secret_file(secret_file, signs=True), None)
    now = int(time.time())
    begins, ends = parse_window(window, now)
    if ends > LATEST_DATE:
        raise click.UsageError("a token ends; give --valid a duration, or FROM:TO")
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audiences[0] if len(audiences) == 1 else list(audiences),
        "sub": subject,
        "iat": now,
        "nbf": begins,
        "exp": ends,
    }
    claims |= dict(_claim(text) for text in more)
    header = {"alg": signer.algorithm, "typ": typ, **({"kid": signer.kid} if signer.kid else {})}
    signed = encode_segment(_compact(header)) + b"." + encode_segment(_compact(claims))
    output.result((signed + b"." + encode_segment(signer.sign(signed))).decode())


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _claim(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError("a claim is NAME=VALUE")
    try:
        return name, json.loads(value, parse_constant=_no_json, parse_float=_finite)
    except ValueError:
        return name, value
    except RecursionError:
        raise click.UsageError("a claim's JSON is nested too deeply") from None


def _no_json(word: str) -> NoReturn:
    """NaN and Infinity, which Python takes."""
    raise ValueError(word)


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise click.UsageError(f"a claim's number is beyond all that have a value: {number[:32]}")
    return value


@token.command(epilog="Example: hoopjump token inspect token")
@click.argument("file")
def inspect(file: str) -> None:
    """Show header and claims of the token in FILE (`-`: stdin) as JSON, and nothing of the signature.

    Nothing is verified. Exit status 1 when the token cannot be read, with the reason.
    """
    try:
        segments = read_token(file).split(b".")
        header, claims = (parse_segment(segment) for segment in segments[:2])
    except TokenError as error:
        raise refusal(error) from error
    except ValueError as error:
        raise HoopjumpError(f"{file}: not a token") from error
    output.result_json({"header": header, "claims": claims, "verified": False})


@token.command(epilog="Example: hoopjump token jwks old-key new-key > key-set.json")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def jwks(files: tuple[str, ...]) -> None:
    """Print the public key set of private or public keys in PEM, for a provider to publish.

    A key that is there twice, as its two halves for one, is in the set once.
    """
    keys = {key["kid"]: key for key in (public_jwk(read_given(file, KEY_LIMIT), file) for file in files)}
    output.result_json({"keys": list(keys.values())})
