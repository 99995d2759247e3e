"""`hoopjump keys`: whose keys tokens are verified with, and an end to one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from hoopjump.cli import daemon_socket, output
from hoopjump.config import load
from hoopjump.daemon.wire import Pair
from hoopjump.errors import HoopjumpError

# A provider has a few seconds for each of two answers.
SECONDS: Final = 15.0


@click.group()
def keys() -> None:
    """The keys of the issuers of tokens, as the daemon has them.

    Example, when a provider's key has been stolen: `hoopjump keys drop KID` stops it at once, and then
    `hoopjump logins end` ends the logins that it let in.
    """


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the keys of all issuers.

    STATE: `fresh`; `kept` while the provider cannot be asked; `refused` when that has lasted too long, or there never
    was an answer; `secret` is a shared one.
    """
    _show(_ask(ctx, "list"), as_json)


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def refresh(ctx: click.Context, as_json: bool) -> None:
    """Ask all providers for their keys now.

    Exit status 1 when one of them did not answer.
    """
    answer = _ask(ctx, "refresh")
    _show(answer, as_json)
    if any(row["fault"] for row in answer["issuers"]):
        ctx.exit(output.EXIT_FAILURE)


@keys.command()
@click.argument("kid")
@click.option("--undo", is_flag=True, help="Take a drop back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def drop(ctx: click.Context, kid: str, undo: bool, as_json: bool) -> None:
    """Have the key KID (its name, or its thumbprint) verify nothing more.

    It is refused at once, and stays refused when the provider still publishes it, under whatever name: until --undo, or
    until the machine starts anew (daemon.state_dir). Have the provider take it out of its set. Logins that are open
    already go on: `hoopjump logins end`.
    """
    answer = _ask(ctx, "restore" if undo else "drop", ("kid", kid))
    if as_json:
        output.result_json(answer)
    if not answer["of"]:
        raise HoopjumpError(
            f"{'nothing was dropped' if undo else 'no issuer has a key'} of the name {kid!a}",
            "`hoopjump keys list` shows them; `hoopjump keys refresh` asks the providers",
        )
    what = "is taken again" if undo else "is refused from now on"
    output.say(f"the key {output.shown(kid)} of {output.shown(', '.join(answer['of']))} {what}")


def _ask(ctx: click.Context, action: str, *more: Pair) -> dict[str, Any]:
    socket: Path = load(ctx.obj["config"]).daemon.socket
    answer: dict[str, Any] = daemon_socket.ask(socket, "keys", ("action", action), *more, seconds=SECONDS)
    return answer


def _show(answer: dict[str, Any], as_json: bool) -> None:
    rows = answer["issuers"]
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
            "dropped" if key["dropped"] else str(key["flaw"] or ""),
        ]
        for key in row["keys"]
    ]
