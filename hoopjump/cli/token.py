"""`hoopjump token`: make, look into and verify JSON Web Tokens, for tests and small set-ups."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from hoopjump.cli import output
from hoopjump.cli.files import PRIVATE, PUBLIC, read_bounded, refuse_existing, write
from hoopjump.cli.token_key import KEY_LIMIT, KINDS, Signer, generate, public_jwk, read_secret_file, read_signer
from hoopjump.cli.validity import parse_window
from hoopjump.config import load
from hoopjump.decision.jose import TokenError, decode_segment, encode_segment, parse_object
from hoopjump.decision.jwk import SET_LIMIT, KeySet, KeySetError, parse_key_set
from hoopjump.decision.token import TOKEN_LIMIT, VerifiedToken, verify
from hoopjump.decision.token_policy import (
    ALGORITHMS,
    HMAC_ALGORITHM,
    USUAL_TYPES,
    IssuerPolicy,
    SharedSecret,
    TrustedIssuer,
    trust,
)
from hoopjump.errors import HoopjumpError
from hoopjump.keys.dropped import DroppedKeys
from hoopjump.keys.keysets import KeySets

# More than a token may have, so that its refusal is that of a token and not of a file.
FILE_LIMIT: Final = 64 * TOKEN_LIMIT

_OF_ISSUER: Final = (
    "jwks_file",
    "secret_file",
    "audiences",
    "algorithms",
    "user_claim",
    "groups_claim",
    "required",
    "types",
    "leeway",
    "longest_age",
)

_PATH: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def token() -> None:
    """Make, look into and verify JSON Web Tokens."""


@token.command()
@click.argument("file", type=_PATH)
@click.option("--algorithm", type=click.Choice(KINDS), default="EdDSA", show_default=True)
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


@token.command()
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
        raise click.UsageError("one of --key and --secret-file is needed")
    if key_file is not None:
        signer = read_signer(key_file, algorithm)
    elif secret_file is not None:
        signer = Signer(HMAC_ALGORITHM, read_secret_file(secret_file), None)
    now = int(time.time())
    begins, ends = parse_window(window, now)
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
        return name, json.loads(value)
    except ValueError:
        return name, value


@token.command()
@click.argument("file")
def inspect(file: str) -> None:
    """Show header and claims of the token in FILE (`-`: stdin) as JSON, and nothing of the signature.

    Nothing is verified. Exit status 1 when the token cannot be read, with the reason.
    """
    segments = _read_token(file).split(b".")
    try:
        header, claims = (parse_object(decode_segment(segment)) for segment in segments[:2])
    except TokenError as error:
        raise _refusal(error) from error
    except ValueError as error:
        raise HoopjumpError(f"{file}: not a token") from error
    output.result_json({"header": header, "claims": claims, "verified": False})


@token.command("verify")
@click.argument("file")
@click.option("--jwks", "jwks_file", metavar="FILE", help="The issuer's key set.")
@click.option("--secret-file", type=_PATH, help="The secret shared with the issuer, for HS256.")
@click.option("--issuer", help="Who must have issued it.  [default: the issuers of the configuration]")
@click.option("--audience", "audiences", multiple=True, help="For whom it may be; may be repeated.")
@click.option(
    "--algorithm",
    "algorithms",
    multiple=True,
    type=click.Choice([*sorted(ALGORITHMS), HMAC_ALGORITHM]),
    help="What may sign it; may be repeated.  [default: all that keys can, or HS256 with a secret]",
)
@click.option("--user-claim", default="sub", show_default=True, help="Where the user stands.")
@click.option("--groups-claim", help="Where the groups stand: a name, a path with dots, or a URL.")
@click.option("--require", "required", multiple=True, metavar="CLAIM", help="A claim that must be there; repeatable.")
@click.option("--typ", "types", multiple=True, help="A kind of token to take; repeatable.  [default: JWT, at+jwt]")
@click.option("--leeway", type=click.IntRange(0, 600), default=30, show_default=True, help="Seconds clocks may differ.")
@click.option("--longest-age", type=click.IntRange(1), help="Seconds since it was issued.")
@click.option("--at", "moment", help="Verify as of then: Unix seconds, or ISO 8601.  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify_command(  # noqa: PLR0917  # click hands every option over by its name
    ctx: click.Context,
    file: str,
    jwks_file: str | None,
    secret_file: Path | None,
    issuer: str | None,
    audiences: tuple[str, ...],
    algorithms: tuple[str, ...],
    user_claim: str,
    groups_claim: str | None,
    required: tuple[str, ...],
    types: tuple[str, ...],
    leeway: int,
    longest_age: int | None,
    moment: str | None,
    as_json: bool,
) -> None:
    """Verify the token in FILE (`-`: stdin).

    Exit status 0 when it is valid, 1 when it is refused: the reason is on stderr, and in the JSON as `reason`.

    With --issuer the other options say what it must be like. Without, the issuers of the configuration
    ([[tokens.issuer]]) do, and their keys are fetched: `hoopjump token verify token`.
    """
    now = time.time() if moment is None else _moment(moment)
    if issuer is None:
        if any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _OF_ISSUER):
            raise click.UsageError("these options are about one issuer: name it with --issuer")
        config = load(ctx.obj["config"])
        keysets = KeySets(config.tokens.issuer, DroppedKeys(config.daemon.keys_dir))
        _verify(file, as_json, lambda data: keysets.verify(data, now))
        return
    if not audiences:
        raise click.UsageError("with --issuer, --audience is needed")
    keys = _keys(jwks_file, secret_file)
    usual = {HMAC_ALGORITHM} if isinstance(keys, SharedSecret) else ALGORITHMS
    try:
        policy = IssuerPolicy(
            issuer=issuer,
            audiences=frozenset(audiences),
            algorithms=frozenset(algorithms) or frozenset(usual),
            user_claim=user_claim,
            groups_claim=groups_claim,
            required=required,
            types=frozenset(kind.lower().removeprefix("application/") for kind in types) or USUAL_TYPES,
            leeway=leeway,
            longest_age=longest_age,
        )
        issuers = trust(TrustedIssuer(policy, keys))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _verify(file, as_json, lambda data: verify(data, issuers, now))


def _verify(file: str, as_json: bool, verdict: Callable[[bytes], VerifiedToken]) -> None:
    try:
        verified = verdict(_read_token(file))
    except TokenError as error:
        if as_json:
            reason = error.reason
            output.result_json(
                {"valid": False, "reason": reason.code, "sentence": reason.sentence(), "detail": error.detail}
            )
        raise _refusal(error) from error
    _show(verified, as_json)


def _keys(jwks_file: str | None, secret_file: Path | None) -> KeySet | SharedSecret:
    if (jwks_file is None) == (secret_file is None):
        raise click.UsageError("one of --jwks and --secret-file is needed")
    if secret_file is not None:
        return read_secret_file(secret_file)
    try:
        return parse_key_set(read_bounded(str(jwks_file), SET_LIMIT))
    except KeySetError as error:
        raise HoopjumpError(f"{jwks_file}: {error}") from error


def _moment(text: str) -> float:
    try:
        moment = float(text) if text.isdigit() else _iso(text)
    except (ValueError, OverflowError):
        moment = math.nan
    if not 0 <= moment <= 2**40:
        raise click.UsageError(f"{text!r} is not a time: Unix seconds, or like 2026-01-31T12:00:00Z")
    return moment


def _iso(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_token(file: str) -> bytes:
    # A file of text ends with a newline; all else is the token's.
    return read_bounded(file, FILE_LIMIT).removesuffix(b"\n")


def _refusal(error: TokenError) -> HoopjumpError:
    """One line, the reason first."""
    sentence = error.reason.sentence().removesuffix(".")
    detail = f" ({error.detail})" if error.detail else ""
    return HoopjumpError(f"{error.reason.code}: {sentence[:1].lower()}{sentence[1:]}{detail}")


def _show(verified: VerifiedToken, as_json: bool) -> None:
    fields = {
        "issuer": verified.issuer,
        "subject": verified.subject,
        "user": verified.user,
        "groups": list(verified.groups),
        "expires": verified.expires,
        "key": verified.key,
    }
    if as_json:
        output.result_json({"valid": True, **fields, "claims": verified.claims})
        return
    ends = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(verified.expires))
    for label, value in {**fields, "groups": ", ".join(verified.groups), "expires": ends}.items():
        output.result(f"{label:8} {output.shown(str(value))}".rstrip())


@token.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def jwks(files: tuple[str, ...]) -> None:
    """Print the public key set of private or public keys in PEM, for a provider to publish."""
    output.result_json({"keys": [public_jwk(read_bounded(file, KEY_LIMIT), file) for file in files]})
