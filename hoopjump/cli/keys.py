"""`hoopjump keys`: whose keys tokens are verified with, and an end to one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from hoopjump.ca.settings import DEFAULT_PATH, CaConfig
from hoopjump.cli import daemon_socket, output
from hoopjump.config import load, load_as
from hoopjump.daemon.wire import Pair
from hoopjump.errors import HoopjumpError
from hoopjump.keys.aside import KeysAside

# A provider has a few seconds for each of two answers.
SECONDS: Final = 15.0


_CA_OPTION = click.option("--ca", "of_ca", is_flag=True, help="The keys of hoopjump-ca, whose --config is ca.toml.")


@click.group()
def keys() -> None:
    """The keys of the issuers of tokens, as hoopjumpd has them, or hoopjump-ca.

    Example, when a provider's key has been stolen: `hoopjump keys drop --end-logins KID` stops it at once and ends the
    logins that it let in. `hoopjump keys drop --ca KID` stops it at a hoopjump-ca.
    """


@keys.command("list", epilog="Example: hoopjump keys list")
@_CA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, of_ca: bool, as_json: bool) -> None:
    """List the keys of all issuers.

    STATE: `fresh`; `kept` while the provider cannot be asked; `refused` when that has lasted too long, or there never
    was an answer; `secret` is a shared one.

    With --ca, run it as root on the machine of hoopjump-ca: it shows what that has written down.
    """
    _show(_of_ca(ctx).rows() if of_ca else _ask(ctx, "list")["issuers"], as_json)


@keys.command(epilog="Example: hoopjump keys refresh")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def refresh(ctx: click.Context, as_json: bool) -> None:
    """Ask all providers for their keys now.

    Exit status 1 when one of them did not answer. hoopjump-ca asks when it is restarted.
    """
    rows = _ask(ctx, "refresh")["issuers"]
    _show(rows, as_json)
    if any(row["fault"] for row in rows):
        ctx.exit(output.EXIT_FAILURE)


class _NamesKey(click.Command):
    """Takes a word with one dash that is no option of its own for the KID: one thumbprint in 64 begins so."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            return super().parse_args(ctx, args)
        own = {name for option in self.get_params(ctx) for name in option.opts}
        kids = [arg for arg in args if arg.startswith("-") and not arg.startswith("--") and arg not in own]
        return super().parse_args(ctx, [*(arg for arg in args if arg not in kids), "--", *kids])


@keys.command(cls=_NamesKey, epilog="Example: hoopjump keys drop --end-logins 2026-11")
@click.argument("kid")
@_CA_OPTION
@click.option("--end-logins", is_flag=True, help="End the logins that tokens of the key have let in.")
@click.option("--undo", is_flag=True, help="Take a drop back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def drop(ctx: click.Context, kid: str, *, of_ca: bool, end_logins: bool, undo: bool, as_json: bool) -> None:
    """Have the key KID (its name, or its thumbprint) verify nothing more.

    It is refused at once, and stays refused when the provider still publishes it, under whatever name, until --undo:
    also after a restart, and when it has left the set for a while. The logins that it has let in go on, and it is said
    how many there are; --end-logins ends them, also those of a key that has left its set. A KID that begins with two
    dashes stands behind `--`.

    With --ca, run it as root on the machine of hoopjump-ca. Certificates that it has issued already go on.
    """
    if end_logins and (undo or of_ca):
        raise click.UsageError("--end-logins goes with a drop at hoopjumpd, which has the logins")
    more = [("end-logins", "yes")] if end_logins else []
    verb = "restore" if undo else "drop"
    answer = _change_ca(ctx, kid, undo=undo) if of_ca else _ask(ctx, verb, ("kid", kid), *more)
    if as_json:
        output.result_json(answer)
    if answer.get("of"):
        what = "is taken again" if undo else "is refused from now on"
        output.say(f"the key {output.shown(kid)} of {output.shown(', '.join(answer['of']))} {what}")
    if answer.get("logins"):
        output.say(_logins(kid, answer["logins"], ending=answer["ending"]))
    if "fault" in answer:
        raise HoopjumpError(answer["fault"], answer["hint"])
    if not answer["of"] and not (answer.get("logins") and answer["ending"]):
        shown = f"`hoopjump keys {'list' if undo or of_ca else 'refresh'}{' --ca' if of_ca else ''}`"
        raise HoopjumpError(
            f"{'nothing was dropped' if undo else 'no issuer has a key'} of the name {kid!a}",
            f"{shown} {'shows' if undo or of_ca else 'asks the providers, and shows'} what is there",
        )


def _logins(kid: str, count: int, *, ending: bool) -> str:
    who = "one login that it has let in" if count == 1 else f"{count} logins that it has let in"
    if ending:
        return f"{who} {'is' if count == 1 else 'are'} being ended"
    go = "goes" if count == 1 else "go"
    return f"{who} {go} on; `hoopjump keys drop --end-logins {output.shown(kid)}` ends {'it' if count == 1 else 'them'}"


def _ask(ctx: click.Context, action: str, *more: Pair) -> dict[str, Any]:
    socket: Path = load(ctx.obj["config"]).daemon.socket
    answer: dict[str, Any] = daemon_socket.ask(socket, "keys", ("action", action), *more, seconds=SECONDS)
    return answer


def _of_ca(ctx: click.Context) -> KeysAside:
    usual = ctx.find_root().get_parameter_source("config") is ParameterSource.DEFAULT
    config = load_as(CaConfig, DEFAULT_PATH if usual else ctx.obj["config"])
    return KeysAside(config.issuer, config.server.keys_dir)


def _change_ca(ctx: click.Context, kid: str, *, undo: bool) -> dict[str, Any]:
    aside = _of_ca(ctx)
    of = aside.restore(kid) if undo else aside.drop(kid)
    return {"of": of, "issuers": aside.rows()}


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        output.result_json(rows)
        return
    if not rows:
        output.say("no issuer of tokens is configured ([[tokens.issuer]])")
        return
    output.table(
        ("ISSUER", "STATE", "KID", "KIND", "ALGORITHMS", "REMARK"), (cells for row in rows for cells in _cells(row))
    )
    for row in rows:
        if row.get("left_out"):
            output.warn(output.shown(f"{row['issuer']}: {row['left_out']} keys more, which do not fit in here"))
        if row["state"] == "refused" and not row["fault"]:
            output.warn(output.shown(f"{row['issuer']}: its tokens are refused; the service's log says why"))
        if row["fault"]:
            left = row["refused_in"]
            span = "its tokens are refused" if not left else f"its tokens are refused in {left} s"
            output.warn(output.shown(f"{row['issuer']}: {row['fault']}; {span}"))


def _cells(row: dict[str, Any]) -> list[list[str]]:
    head = [str(row["issuer"]), str(row["state"])]
    if not row["keys"]:
        return [[*head, "-", "-", "-", ""]]
    return [
        [
            *head,
            str(key["kid"] if key["kid"] is not None else key["thumbprint"] or "-"),
            str(key["kind"]),
            ",".join(key["algorithms"]) or "-",
            _remark(key),
        ]
        for key in row["keys"]
    ]


def _remark(key: dict[str, Any]) -> str:
    if not key["dropped"]:
        return str(key["flaw"] or "")
    return "dropped" if key["in_set"] else "dropped, has left the set"
