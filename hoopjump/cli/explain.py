"""`hoopjump explain`: why somebody was let in or refused.

By reference it tells what the daemon recorded; by certificate it asks the gateway and runs the very same
:func:`hoopjump.decision.decide.decide` that the daemon runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from hoopjump.audit.events import MOMENTS, AuditError
from hoopjump.audit.sinks import find
from hoopjump.cli import daemon_socket, output
from hoopjump.cli.daemon_socket import DaemonError
from hoopjump.cli.files import read_bounded
from hoopjump.config import Config, SecretReference, load, read_secret
from hoopjump.daemon.policy import policy_of, read_authorities
from hoopjump.decision.certificate import TEXT_LIMIT, Certificate, CertificateError, read_certificate
from hoopjump.decision.decide import decide, wanted_lookups, wants_token
from hoopjump.decision.jose import TokenError
from hoopjump.decision.moments import moment_text
from hoopjump.decision.presented import embedded_token, in_certificate
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import Access, Answer, LoginRequest, Lookup, Policy, Presented, RefusedToken, Verdict
from hoopjump.errors import HoopjumpError
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.directory import Directory
from hoopjump.keys.dropped import DroppedKeys
from hoopjump.keys.keysets import KeySets

# What stands in an event's head, or in the trace below it.
_HEAD = ("time", "kind", "ref", "trace")


@click.command(epilog="Example: hoopjump explain 5s43rc6s")
@click.argument("ref", required=False)
@click.option("--certificate", metavar="FILE", help="Decide about this certificate now (`-`: stdin).")
@click.option("--account", metavar="NAME", help="With --certificate: the login account.  [default: the first shared]")
@click.option("--source", metavar="ADDR", help="With --certificate: the client's address.")
@click.option("--api-key", metavar="REF", help="With --certificate: credential:NAME or file:/PATH of the API key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(  # noqa: PLR0917  # click hands every option over by its name
    ctx: click.Context,
    ref: str | None,
    certificate: str | None,
    account: str | None,
    source: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Say why a login was let in or refused.

    It shows the checks in order. REF is the reference that the user was shown and that stands in the log. With
    --certificate the decision is made anew: exit status 0 when the login would be let in to everything, 1 when not.
    """
    if (ref is None) == (certificate is None):
        raise click.UsageError("give either a reference or --certificate")
    config = load(ctx.obj["config"])
    if ref is not None:
        _explain_reference(config, ref, as_json)
        return
    assert certificate is not None
    accounts = config.accounts.shared
    name = account or (accounts[0] if accounts else "")
    if not name:
        raise click.UsageError("name the login account with --account")
    verdict = _decide(config, certificate, LoginRequest(name, source), api_key)
    if as_json:
        output.result_json(_verdict_row(verdict))
    else:
        _print_verdict(verdict)
    if verdict.access is not Access.ALLOW:
        ctx.exit(output.EXIT_FAILURE)


def _decide(config: Config, file: str, request: LoginRequest, api_key: str | None) -> Verdict:
    try:
        authorities = read_authorities(config.trust.user_cas)
    except OSError as error:
        raise HoopjumpError(f"{config.trust.user_cas}: {error.strerror}", "see trust.user_cas") from error
    policy = policy_of(config, authorities)
    certificate: Certificate | CertificateError
    try:
        certificate = read_certificate(read_bounded(file, TEXT_LIMIT))
        answers = _answers(config, certificate, policy, api_key)
        embedded = _embedded(config, certificate, policy)
    except CertificateError as error:
        certificate, answers, embedded = error, {}, None
    return decide(request, certificate, answers, policy, int(time.time()), embedded)


def _embedded(config: Config, certificate: Certificate, policy: Policy) -> Presented:
    if not wants_token(certificate, policy):
        return None
    keysets = KeySets(config.tokens.issuer, DroppedKeys(config.daemon.keys_dir))
    try:
        token = embedded_token(certificate)
        if token is None:
            return None
        verified = keysets.verify(token, time.time())
        section = keysets.section(verified.issuer)
        return in_certificate(verified, section.user_attribute, certificate, bound=section.bound)
    except TokenError as error:
        return RefusedToken(error.reason, error.detail)


def _answers(config: Config, certificate: Certificate, policy: Policy, api_key: str | None) -> dict[Lookup, Answer]:
    wanted = wanted_lookups(certificate, policy)
    if not wanted:
        return {}
    client = GatewayClient(config.gateway, read_secret(_reference(api_key) or config.gateway.api_key), 1)
    try:
        directory = Directory(client, config.gateway)
        return {lookup: directory.answer(lookup) for lookup in wanted}
    finally:
        client.close()


def _reference(given: str | None) -> str | None:
    try:
        return given and TypeAdapter(SecretReference).validate_python(given)
    except ValidationError:
        # The message of the error would repeat what was given, perhaps the key itself.
        raise click.UsageError("a key is named by credential:NAME or file:/PATH, never given itself") from None


def _print_verdict(verdict: Verdict) -> None:
    for check in verdict.trace:
        output.result(f"{output.mark(check.passed)}  {check.name:22} {output.shown(check.detail)}".rstrip())
    output.result()
    says = {
        Access.ALLOW: "let in",
        Access.HOLD: "let in to nothing but an explanation",
        Access.DENY: "denied at authentication",
    }
    output.result(f"{says[verdict.access]} ({verdict.reason.code}): {output.shown(verdict.sentence)}")
    if verdict.user:
        output.result(f"user: {output.shown(verdict.user.email)} ({output.shown(verdict.user.subject)})")
    if verdict.line:
        output.result(f"line for sshd: {output.shown(verdict.line)}")
    _print_hint(verdict.reason)


def _print_hint(reason: Reason) -> None:
    if reason.value.hint:
        output.result(f"hint: {reason.value.hint}")


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    return {
        "access": verdict.access.value,
        "reason": verdict.reason.code,
        "sentence": verdict.sentence,
        "hint": verdict.reason.value.hint,
        "user": verdict.user.email if verdict.user else None,
        "subject": verdict.user.subject if verdict.user else None,
        "identity": verdict.identity,
        "line": verdict.line,
        "deadline": verdict.deadline,
        "trace": [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in verdict.trace],
    }


def _explain_reference(config: Config, ref: str, as_json: bool) -> None:
    record = _record(config, ref)
    if not record["events"] and record["login"] is None:
        where = record["trail"] or "no audit file is kept (audit.file)"
        raise HoopjumpError(
            f"nothing is known of {ref!a}",
            f"looked in {where}; rotated files may have it, or hoopjump-ca's log: journalctl -u hoopjump-ca -g {ref}",
        )
    if as_json:
        output.result_json(record)
        return
    if record["login"] is not None:
        output.result(f"login {ref}: {record['login']['state']}")
    _print_events(record["events"])
    if record["of_login"]:
        output.result()
        output.result("of the login that this belongs to:")
        _print_events(record["of_login"])


def _record(config: Config, ref: str) -> dict[str, Any]:
    """The daemon's answer, or what the audit file alone says while there is no daemon."""
    try:
        record: dict[str, Any] = daemon_socket.ask(config.daemon.socket, "explain", ("ref", ref))
    except DaemonError as error:
        if config.audit.file is None:
            raise
        try:
            events = find(config.audit.file, ref)
        except AuditError:
            raise error from None
        rows = [{"time": event.time, "kind": event.kind.value, "ref": event.ref, **event.fields} for event in events]
        record = {"ref": ref, "login": None, "events": rows, "of_login": [], "trail": str(config.audit.file)}
    if record.get("fault"):
        output.warn(output.shown(str(record["fault"])))
    return record


def _print_events(events: Iterable[dict[str, Any]]) -> None:
    for event in events:
        output.result(output.shown(f"{event['time']}  {event['kind']} (ref {event['ref']})"))
        for check in event.get("trace", []):
            line = f"  {output.mark(bool(check['passed']))}  {check['name']:22} {output.shown(str(check['detail']))}"
            output.result(line.rstrip())
        for name, value in event.items():
            if name not in _HEAD:
                output.result(f"  {name + ':':14} {output.shown(_text(name, value))}")
        _hint_of(event)


def _text(name: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(_text(name, item) for item in value)
    if name in MOMENTS and isinstance(value, int):
        return moment_text(value)
    return str(value)


def _hint_of(event: dict[str, Any]) -> None:
    try:
        reason = Reason.from_code(str(event.get("reason", "")))
    except KeyError:
        return
    if reason.value.hint:
        output.result(f"  {'hint:':14} {reason.value.hint}")
