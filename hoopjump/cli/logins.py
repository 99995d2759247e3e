"""`hoopjump logins`: who is logged in, and the end of a login."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hoopjump.cli import daemon_socket, output
from hoopjump.config import load
from hoopjump.errors import HoopjumpError


@click.group()
def logins() -> None:
    """Who is logged in; end a login."""


@logins.command("list", epilog="Example: hoopjump logins list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with everything that is known.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all logins, the oldest first.

    `admitted` are those that sshd has asked about and not opened yet. FROM is the client's address as sshd tells it
    (OpenSSH 9.4 and later); with a `?` behind it, as the login's first session told it.
    """
    rows = _all(load(ctx.obj["config"]).daemon.socket)
    if as_json:
        output.result_json(rows)
        return
    now = time.time()
    header = ("LOGIN", "STATE", "USER", "ACCOUNT", "FROM", "SINCE", "ENDS IN", "SESSIONS", "REASON")
    output.table(header, (_cells(row, now) for row in rows))


def _all(socket: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = daemon_socket.ask(socket, "logins")
    while rows and rows[-1].pop("more", False):
        rows += daemon_socket.ask(socket, "logins", ("after", f"{rows[-1]['admitted_at']} {rows[-1]['login']}"))
    return rows


def _cells(row: dict[str, Any], now: float) -> list[str]:
    began = row.get("opened_at") or row["admitted_at"]
    deadline = row.get("deadline")
    return [
        str(row["login"]),
        "ending" if row.get("ending") else str(row["state"]),
        str(row.get("user") or row.get("subject") or "-"),
        str(row["account"]),
        _source(row),
        _span(now - began),
        "-" if deadline is None else _span(deadline - now),
        str(row.get("sessions", 0)),
        str(row["reason"]),
    ]


def _source(row: dict[str, Any]) -> str:
    if row.get("source"):
        return str(row["source"])
    return f"{row['told_source']}?" if row.get("told_source") else "-"


def _span(seconds: float) -> str:
    """A duration in its two largest units; what has passed is none."""
    whole = max(0, int(seconds))
    for name, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{name}{whole % size // part:02}{below}"
    return f"{whole}s"


@logins.command(epilog="Example: hoopjump logins end 5s43rc6s")
@click.argument("login")
@click.pass_context
def end(ctx: click.Context, login: str) -> None:
    """End the login LOGIN.

    Its connection is cut, with every session and forward in it.
    """
    answer: dict[str, Any] = daemon_socket.ask(load(ctx.obj["config"]).daemon.socket, "end", ("login", login))
    if not answer.get("found"):
        raise HoopjumpError(f"no login {login!a}", "`hoopjump logins list` shows them")
    output.say(f"login {output.shown(login)} is being ended")
