"""`hoopjump gateway`: the gateway behind the bastion, looked at, taken over from, and made to trust us."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from hoopjump.cli import files, output, takeover
from hoopjump.config import Config, GatewaySection, load, read_secret
from hoopjump.daemon.policy import read_authorities
from hoopjump.decision.keys import KEY_TEXT_LIMIT, fingerprint, read_public_key
from hoopjump.decision.wire import FormatError
from hoopjump.errors import HoopjumpError
from hoopjump.gateway import changes, checks, ssh_server
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.ssh_server import HANDOFF_COMMENT, Authority
from hoopjump.handoff.issue import PrivateKeySigner

# The gateway stops and starts a server within this call.
_PUT_SECONDS: Final = 30.0

# The files of README.md; the daemon gets them by systemd, which a shell has not.
_INSTALLED: Final = "--api-key file:/etc/hoopjump/gateway-api-key --handoff-ca /etc/hoopjump/handoff-ca.pub"

T = TypeVar("T")
_Command = Callable[..., Any]

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
_handoff_ca = click.option(
    "--handoff-ca",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.pub",
    help="Public key of the handoff CA, if handoff.ca_key cannot be read here.",
)


def _api_key(command: _Command) -> _Command:
    return click.option(
        "--api-key",
        metavar="REF",
        help="credential:NAME or file:/PATH of the API key, instead of gateway.api_key.",
    )(command)


@click.group()
def gateway() -> None:
    """The gateway behind: check it, take over its keys, make it trust hoopjump."""


@gateway.command(epilog=f"Example: hoopjump gateway check {_INSTALLED}")
@_api_key
@_handoff_ca
@_json
@click.pass_context
def check(ctx: click.Context, api_key: str | None, handoff_ca: Path | None, as_json: bool) -> None:
    """Check that this bastion and its gateway fit together.

    One line a check: `ok`, `warn`, or `FAIL` for what keeps users out. Exit status 1 if anything failed.
    """
    config = _load(ctx)
    client = _client(config.gateway, api_key)
    local = checks.Local(
        user_cas=_or_error(lambda: _user_cas(config)), handoff_ca=_or_error(lambda: _authority(config, handoff_ca).blob)
    )
    findings = list(checks.run(client, config.gateway, local))
    ctx.exit(output.findings(findings, {"gateway": config.gateway.api_url}, as_json))


@gateway.command(epilog=f"Example: hoopjump gateway sync --dry-run {_INSTALLED}")
@click.option(
    "--host-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the gateway's private host key, for an sshd that shares it (HostKey FILE), with FILE.pub.",
)
@_yes
@_dry_run
@_api_key
@_handoff_ca
@_json
@click.pass_context
def sync(  # noqa: PLR0917  # click hands every option over by its name
    ctx: click.Context,
    host_key: Path | None,
    yes: bool,
    dry_run: bool,
    api_key: str | None,
    handoff_ca: Path | None,
    as_json: bool,
) -> None:
    """Take over the gateway's host key and trusted CAs.

    Writes gateway.known_hosts and trust.user_cas, never with a handoff CA among the user CAs. Shows the difference and
    asks before it writes; each file is replaced in one step.
    """
    config = _load(ctx)
    server = ssh_server.settings(_client(config.gateway, api_key))
    ours = _authority(config, handoff_ca)
    cas = changes.user_authorities(server, ours.blob)
    for authority in cas.left_out:
        whose = "our own" if authority.blob == ours.blob else "another bastion's"
        output.say(f"left out of {config.trust.user_cas}: {whose} handoff CA {fingerprint(authority.blob)}")
    targets = [
        takeover.text_target(config.gateway.known_hosts, changes.known_hosts(server, config.gateway)),
        takeover.text_target(config.trust.user_cas, cas.text),
        *(takeover.key_targets(host_key, server) if host_key else ()),
    ]
    changed = [target for target in targets if target.changed]
    if not as_json:
        for target in changed:
            for line in target.diff():
                output.result(output.shown(line))
    wanted = bool(changed) and not dry_run
    if wanted and not yes:
        _confirm(f"Write {', '.join(str(target.path) for target in changed)}?")
    if wanted:
        for target in changed:
            files.write(target.path, target.data, target.mode, replace=True)
    if as_json:
        output.result_json(
            [
                {
                    "path": str(target.path),
                    "changed": target.changed,
                    "written": wanted and target.changed,
                    "diff": target.diff(),
                }
                for target in targets
            ]
        )
    output.say(f"{len(changed)} of {len(targets)} files {'written' if wanted else 'differ' if changed else 'to write'}")


@gateway.command(epilog="Example: hoopjump gateway trust --admin-key file:/root/gateway-admin-key")
@click.option(
    "--admin-key",
    metavar="REF",
    help="credential:NAME or file:/PATH of an admin's API key; it is used for this call only.",
)
@_yes
@_dry_run
@_api_key
@_handoff_ca
@_json
@click.pass_context
def trust(  # noqa: PLR0917  # click hands every option over by its name
    ctx: click.Context,
    admin_key: str | None,
    yes: bool,
    dry_run: bool,
    api_key: str | None,
    handoff_ca: Path | None,
    as_json: bool,
) -> None:
    """Make the gateway trust the handoff CA, and prove that its SSH server still answers.

    Adds one line to the gateway's trusted CAs and changes nothing else. The gateway starts its SSH server anew for it:
    every live session there ends.
    """
    config = _load(ctx)
    section = config.gateway.model_copy(update={"read_timeout": _PUT_SECONDS})
    ours = _authority(config, handoff_ca)
    print_ = fingerprint(ours.blob)
    client = _client(section, admin_key or api_key)
    plan = changes.plan_trust(client, ours)
    done = False
    if not plan.needed:
        output.say(f"the gateway trusts {print_} already; nothing was changed")
    elif dry_run:
        output.say(f"would add to the gateway's trusted CAs, and so end every live session there: {plan.line}")
    else:
        if admin_key is None:
            raise click.UsageError("an admin's API key is needed: --admin-key credential:NAME or file:/PATH", ctx)
        output.warn(
            "the gateway will start its SSH server anew: every live session there ends, also of people who did not come"
            " through this bastion"
        )
        output.say(f"to be added to the gateway's trusted CAs: {plan.line}")
        if not yes:
            _confirm("Add it now?")
        presented = changes.carry_out_trust(client, section, plan)
        done = True
        output.say(f"the gateway trusts {print_}, and its SSH server answers with {fingerprint(presented)} as before")
    if as_json:
        output.result_json({"handoff_ca": print_, "line": plan.line, "needed": plan.needed, "changed": done})


def _load(ctx: click.Context) -> Config:
    return load(ctx.obj["config"])


def _client(section: GatewaySection, reference: str | None) -> GatewayClient:
    if reference is not None:
        # Checked like a reference in the file, so that a key itself is refused (and, alas, already in argv).
        try:
            section = GatewaySection.model_validate({**section.model_dump(), "api_key": reference})
        except ValueError:
            raise click.UsageError("a key is named by credential:NAME or file:/PATH, never given itself") from None
    return GatewayClient(section, read_secret(section.api_key), pool=1)


def _authority(config: Config, public_key: Path | None) -> Authority:
    """The handoff CA, from its public key's file or from handoff.ca_key."""
    comment = f"{HANDOFF_COMMENT} {os.uname().nodename}"
    if public_key is None:
        signer = PrivateKeySigner.from_openssh(read_secret(config.handoff.ca_key))
        return Authority(signer.public_key, comment)
    try:
        return Authority(read_public_key(files.read_bounded(str(public_key), KEY_TEXT_LIMIT)).blob, comment)
    except FormatError as error:
        raise HoopjumpError(f"{public_key}: {error}") from error


def _user_cas(config: Config) -> frozenset[bytes]:
    try:
        return read_authorities(config.trust.user_cas)
    except OSError as error:
        raise HoopjumpError(f"{config.trust.user_cas}: {error.strerror}", "hoopjump gateway sync") from error


def _or_error(read: Callable[[], T]) -> T | HoopjumpError:
    try:
        return read()
    except HoopjumpError as error:
        return error


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise HoopjumpError("there is no terminal to ask on; nothing was changed", "--yes goes ahead without asking")
    if not click.confirm(question, err=True):
        raise HoopjumpError("nothing was changed")
