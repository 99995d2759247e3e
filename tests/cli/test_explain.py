"""`hoopjump explain`: by reference what was recorded, by certificate the decision itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hoopjump.audit.events import Audit, Kind
from hoopjump.audit.sinks import FileSink
from hoopjump.dev.bastion import Bastion
from tests.cli.conftest import Run
from tests.cli.test_logins import Daemon, config, daemon, row

__all__ = ["config", "daemon"]

EVENT = {
    "time": "2026-11-22T10:00:00.000Z",
    "kind": "denied",
    "ref": "abcdefgh",
    "account": "hoop",
    "reason": "cert-expired",
    "sentence": "The certificate has expired.",
    "certificate": {"serial": "7", "key_id": "alice\x1b[2J", "principals": ["alice", "bob"], "valid_before": 0},
    "trace": [
        {"name": "begun", "passed": True, "detail": "valid after 1"},
        {"name": "not-expired", "passed": False, "detail": "valid before 2\x07, now 3"},
    ],
}


def test_a_reference_shows_event_trace_and_next_step(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """Check by check, escaped."""
    daemon.json({"ref": "abcdefgh", "login": None, "events": [EVENT], "of_login": [], "trail": "/x", "fault": None})
    said = hoopjump("--config", config, "explain", "abcdefgh")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        "2026-11-22T10:00:00.000Z  denied (ref abcdefgh)",
        "  ok    begun                  valid after 1",
        "  FAIL  not-expired            valid before 2\\x07, now 3",
        "  account:       hoop",
        "  reason:        cert-expired",
        "  sentence:      The certificate has expired.",
        "  certificate:   serial 7, key_id alice\\x1b[2J, principals alice bob, valid_before 1970-01-01 00:00:00 UTC",
        "  hint:          get a new certificate",
    ]
    assert daemon.asked[0].text("ref") == "abcdefgh"


def test_events_of_the_login_stand_below(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """A session's reference leads to its login."""
    session = {"time": "t", "kind": "session-refused", "ref": "s", "login": "l", "reason": "role-unknown"}
    daemon.json({"ref": "s", "login": row(), "events": [session], "of_login": [EVENT], "trail": "/x", "fault": "torn"})
    said = hoopjump("--config", config, "explain", "s")
    assert said.out.startswith("login s: open\n")
    assert "of the login that this belongs to:\n2026-11-22T10:00:00.000Z  denied (ref abcdefgh)\n" in said.out
    assert "hoopjump: warning: torn\n" in said.err


def test_while_the_daemon_is_down_the_audit_file_is_read(config: Path, hoopjump: Run, tmp_path: Path) -> None:
    """That is when explanations are wanted most."""
    trail = FileSink(tmp_path / "audit.jsonl")
    Audit([trail]).record(Kind.DENIED, "abcdefgh", reason="cert-expired", account="hoop")
    trail.close()
    said = hoopjump("--config", config, "explain", "abcdefgh")
    assert said.status == 0
    assert "denied (ref abcdefgh)\n" in said.out
    data = json.loads(hoopjump("--config", config, "explain", "--json", "abcdefgh").out)
    assert data["events"][0]["reason"] == "cert-expired"


def test_an_unknown_reference_is_told(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """With where it was looked for."""
    daemon.json({"ref": "x", "login": None, "events": [], "of_login": [], "trail": "/var/log/a", "fault": None})
    said = hoopjump("--config", config, "explain", "x")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("hoopjump: nothing is known of 'x'\nhoopjump: hint: looked in /var/log/a")


@pytest.mark.parametrize("arguments", [(), ("ref", "--certificate", "x")])
def test_one_of_reference_and_certificate_is_wanted(arguments: tuple[str, ...], config: Path, hoopjump: Run) -> None:
    """Neither or both is usage."""
    assert hoopjump("--config", config, "explain", *arguments).status == 2


def test_a_bad_certificate_is_explained_without_a_gateway(config: Path, hoopjump: Run, place: Path) -> None:
    """Nobody is asked about what a foreign authority signed, and no secret is read."""
    text = config.read_text() + f'[trust]\nuser_cas = "{place}/ca.pub"\n'
    config.write_text(text)
    hoopjump(
        *("cert", "issue", "--ca", place / "ca", "--principal", "alice", "--flaw", "wrong-ca", place / "user.pub"),
    )
    said = hoopjump("--config", config, "explain", "--certificate", place / "user-cert.pub")
    assert said.status == 1
    assert "FAIL  trusted-authority" in said.out
    assert "denied at authentication (cert-untrusted-ca): " in said.out
    said = hoopjump("--config", config, "explain", "--certificate", "-", stdin=b"nonsense")
    assert said.status == 1
    assert "denied at authentication (cert-malformed): The certificate cannot be read.\n" in said.out


def test_a_key_given_itself_is_refused_and_not_repeated(config: Path, hoopjump: Run, place: Path) -> None:
    """It is in the shell's history already; at least it goes nowhere else."""
    config.write_text(config.read_text() + f'[trust]\nuser_cas = "{place}/ca.pub"\n')
    hoopjump("cert", "issue", "--ca", place / "ca", "--principal", "alice@x.io", place / "user.pub")
    said = hoopjump(
        *("--config", config, "explain", "--certificate", place / "user-cert.pub", "--api-key", "hpk_secret")
    )
    assert said.status == 2
    assert "hpk_secret" not in said.out + said.err


def test_the_decision_is_the_daemons_own(bastion: Bastion, hoopjump: Run, tmp_path: Path) -> None:
    """By certificate, over the gateway: let in, held, denied; with the line that sshd would get."""
    ca, key = bastion.user_ca.key, bastion.workshop.key("explained")
    alice = bastion.email("alice")
    secret = tmp_path / "api-key"
    secret.touch(mode=0o600)
    secret.write_text(bastion.gateway.auditor_key)

    def explained(*options: str) -> tuple[int, str]:
        target = tmp_path / "explained-cert.pub"
        issued = hoopjump(
            *("cert", "issue", "--ca", ca, "--out", target, "--force", *options, key.public),
        )
        assert issued.status == 0, issued.err
        said = hoopjump(
            *("--config", bastion.config, "explain", "--certificate", target, "--account", bastion.place.account),
            *("--api-key", f"file:{secret}"),
        )
        return said.status, said.out

    status, text = explained("--principal", alice)
    assert status == 0, text
    assert "let in (allowed): Access granted.\n" in text
    assert f'line for sshd: restrict,pty,port-forwarding,permitopen="{bastion.gateway.ready.ssh_host}:' in text
    assert "FAIL" not in text
    status, text = explained("--principal", "nobody@x.io")
    assert status == 1
    assert "let in to nothing but an explanation (user-unknown): " in text
    assert "line for sshd: restrict,pty nobody@x.io\n" in text
    status, text = explained("--principal", alice, "--flaw", "expired")
    assert status == 1
    assert "denied at authentication (cert-expired): " in text
    assert "line for sshd" not in text
