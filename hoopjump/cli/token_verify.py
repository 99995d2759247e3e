"""`hoopjump token verify`: the verdict on a token, for people and for scripts.

Exit status 1 is the refusal of a token and nothing else, so that a script can go by it; whatever keeps from a verdict
(a file that is not there, keys that are none, a configuration that cannot be read) is 2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from hoopjump.cli import output
from hoopjump.cli.files import FileError, TooLargeError, read_bounded
from hoopjump.cli.token_key import read_given, read_secret_file
from hoopjump.config import load
from hoopjump.decision.jose import TokenError
from hoopjump.decision.jwk import SET_LIMIT, KeySet, KeySetError, parse_key_set
from hoopjump.decision.presented import bound_to, in_environment
from hoopjump.decision.reasons import Reason
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
from hoopjump.errors import HoopjumpError, InputError
from hoopjump.keys.dropped import DroppedKeys
from hoopjump.keys.keysets import KeySets

Verdict = Callable[[bytes], VerifiedToken]

# More than a token may have, so that its refusal is that of a token and not of a file.
FILE_LIMIT: Final = 4 * TOKEN_LIMIT

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

_EXAMPLE: Final = """\b
Examples:
  hoopjump token verify --jwks key.jwks --issuer https://idp.example.com --audience bastion token
  hoopjump token verify --json token     (by the issuers of the configuration)
"""


@click.command("verify", epilog=_EXAMPLE)
@click.argument("file")
@click.option("--jwks", "jwks_file", metavar="FILE", help="The issuer's key set.")
@click.option("--secret-file", type=click.Path(path_type=Path), help="The secret shared with the issuer, for HS256.")
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
@click.option(
    "--at",
    "moment",
    metavar="TIME",
    help="Verify as of then: Unix seconds, or ISO 8601 (2026-01-31T12:00:00Z; UTC unless it says otherwise)."
    "  [default: now]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, also of a refusal.")
@click.pass_context
def verify_command(
    ctx: click.Context,
    /,
    file: str,
    moment: str | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401  # click's options
) -> None:
    """Verify the token in FILE (`-`: stdin).

    Exit status 0 when it is valid; 1 when it is refused: the reason is on stderr, and in the JSON as `reason`; 2 when
    there can be no verdict.

    With --issuer the other options say what it must be like. Without, the issuers of the configuration
    ([[tokens.issuer]]) do, and their keys are fetched; a token that is bound to a key is valid in that key's
    certificate only.
    """
    now = time.time() if moment is None else _moment(moment)
    try:
        verdict = _by_options(given, now) if given["issuer"] is not None else _by_configuration(ctx, now)
        verified = verdict(read_token(file))
    except TokenError as error:
        if as_json:
            reason = error.reason
            output.result_json(
                {
                    "valid": False,
                    "reason": reason.code,
                    "sentence": reason.sentence(),
                    "detail": error.detail,
                    "hint": reason.value.hint,
                }
            )
        raise refusal(error) from error
    except HoopjumpError as error:
        raise InputError(error.message, error.hint) from error
    _show(verified, as_json)


def _by_configuration(ctx: click.Context, now: float) -> Verdict:
    if any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _OF_ISSUER):
        raise click.UsageError("these options are about one issuer: name it with --issuer")
    path = ctx.obj["config"]
    config = load(path)
    if not config.tokens.issuer:
        raise InputError(f"{path}: there is no [[tokens.issuer]] whose token it could be", "name one with --issuer")
    keysets = KeySets(config.tokens.issuer, DroppedKeys(config.daemon.keys_dir))

    def verdict(data: bytes) -> VerifiedToken:
        try:
            verified = keysets.verify(data, now)
        except TokenError as error:
            if error.reason is not Reason.TOKEN_KEYS_UNAVAILABLE:
                raise
            raise InputError(
                f"the keys of the token's issuer cannot be had: {error.detail}",
                f"see `keys` of [[tokens.issuer]] in {path}",
            ) from error
        section = keysets.section(verified.issuer)
        # As far as the token alone shows it: the key that it is bound to is a certificate's.
        if section.bound:
            bound_to(verified)
        else:
            in_environment(verified, section.user_attribute, bound=False)
        return verified

    return verdict


def _by_options(given: dict[str, Any], now: float) -> Verdict:
    if not given["audiences"]:
        raise click.UsageError("with --issuer, --audience is needed")
    keys = _keys(given["jwks_file"], given["secret_file"])
    usual = {HMAC_ALGORITHM} if isinstance(keys, SharedSecret) else ALGORITHMS
    types = frozenset(kind.lower().removeprefix("application/") for kind in given["types"])
    try:
        policy = IssuerPolicy(
            issuer=given["issuer"],
            audiences=frozenset(given["audiences"]),
            algorithms=frozenset(given["algorithms"] or usual),
            user_claim=given["user_claim"],
            groups_claim=given["groups_claim"],
            required=given["required"],
            types=types or USUAL_TYPES,
            leeway=given["leeway"],
            longest_age=given["longest_age"],
        )
        issuers = trust(TrustedIssuer(policy, keys))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return lambda data: verify(data, issuers, now)


def _keys(jwks_file: str | None, secret_file: Path | None) -> KeySet | SharedSecret:
    if (jwks_file is None) == (secret_file is None):
        raise click.UsageError("either --jwks or --secret-file is needed, and not both")
    if secret_file is not None:
        return read_secret_file(secret_file, signs=False)
    try:
        return parse_key_set(read_given(str(jwks_file), SET_LIMIT))
    except KeySetError as error:
        raise InputError(f"{jwks_file}: {error}", "hoopjump token jwks KEY prints the set of a key") from error


def _moment(text: str) -> float:
    try:
        moment = float(text) if text.isascii() and text.isdigit() else _iso(text)
    except (ValueError, OverflowError):
        moment = math.nan
    if not 0 <= moment <= 2**40:
        raise click.UsageError(f"{text!r} is not a time: Unix seconds, or like 2026-01-31T12:00:00Z")
    return moment


def _iso(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def read_token(file: str) -> bytes:
    """The token in a file (``-``: stdin), which may end with a newline as text does; all else is the token's.

    Raises :class:`InputError` for what cannot be read, and :class:`TokenError` for what is far too large.
    """
    try:
        return read_bounded(file, FILE_LIMIT).removesuffix(b"\n")
    except TooLargeError as error:
        raise TokenError(Reason.TOKEN_TOO_LARGE, f"more than {FILE_LIMIT} bytes") from error
    except FileError as error:
        raise InputError(error.message, error.hint) from error


def refusal(error: TokenError) -> HoopjumpError:
    """One line, the reason first."""
    sentence = output.in_lower_case(error.reason.sentence().removesuffix("."))
    detail = f" ({error.detail})" if error.detail else ""
    return HoopjumpError(f"{error.reason.code}: {sentence}{detail}")


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
