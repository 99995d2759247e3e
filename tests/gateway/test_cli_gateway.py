"""`hoopjump gateway check` and `sync`: what an administrator sees, and what is on disk afterwards."""

from __future__ import annotations

import base64
import json
import stat

import pytest

from hoopjump.decision.keys import fingerprint
from hoopjump.gateway import ssh_server
from tests.gateway.bastion import Bastion, Run, lines
from tests.gateway.files import keygen, public_key, secret
from tests.gateway.replay import KEY, Replay, body


def test_check_of_a_new_bastion_names_what_is_to_be_done(run: Run) -> None:
    """Before sync and trust those three fail, each with the command that mends it."""
    status, out, _ = run("check")
    assert status == 1
    found = lines(out)
    assert {name for name, state in found.items() if state == "FAIL"} == {"user-cas", "handoff-ca", "known-hosts"}
    assert out.count("hint: hoopjump gateway sync") == 2
    assert "hint: hoopjump gateway trust" in out


def test_sync_then_trust_makes_every_check_pass(run: Run, bastion: Bastion) -> None:
    """The way a new bastion is set up."""
    assert run("sync", "--yes")[0] == 0
    assert run("trust", "--yes", "--admin-key", bastion.admin_key())[0] == 0
    status, out, _ = run("check")
    assert (status, set(lines(out).values())) == (0, {"ok"}), out


def test_check_as_json_is_one_object(run: Run) -> None:
    """Level, name, text and hint of each finding, and nothing else on stdout."""
    status, out, err = run("check", "--json")
    data = json.loads(out)
    assert status == 1
    assert {"level", "name", "text", "hint"} == set(data["findings"][0])
    assert err == ""


def test_check_of_a_gateway_that_is_down_fails_legibly(run: Run, bastion: Bastion) -> None:
    """What cannot be asked fails by name; the SSH server is looked at all the same."""
    bastion.configure("http://127.0.0.1:1", secret(bastion.directory / "api-key", KEY))
    status, out, err = run("check")
    found = lines(out)
    assert status == 1
    assert found["api"] == found["version"] == found["api-key"] == found["ssh-server"] == "FAIL"
    assert "Connection refused" in out
    assert err == ""


@pytest.mark.parametrize(
    ("groups", "is_admin", "misc_status", "words"),
    [
        (["admin"], True, 200, "it reads the targets' passwords"),
        ([], False, 403, "it can grant any user any access"),
        (["dev"], False, 403, "sees only what these groups see"),
        (["auditor"], False, 200, None),
    ],
    ids=["admin", "groupless", "standard", "auditor"],
)
def test_check_warns_of_a_key_that_can_do_more_than_it_needs(
    gateway: Replay, run: Run, bastion: Bastion, groups: list[str], is_admin: bool, misc_status: int, words: str | None
) -> None:
    """An auditor's key is right; any other is warned about, with the reason."""
    gateway.play("healthz", "serverinfo")
    role = "admin" if is_admin else "standard"
    info = {**body("userinfo_api_key"), "groups": groups, "is_admin": is_admin, "role": role}
    gateway.answer("/api/userinfo", info)
    forbidden = {"message": "access denied"}
    gateway.answer("/api/serverconfig/misc", bastion.misc() if misc_status == 200 else forbidden, status=misc_status)
    bastion.configure(gateway.url, secret(bastion.directory / "key", KEY))
    _, out, _ = run("check")
    line = next(line for line in out.splitlines() if "api-key:" in line)
    if words is None:
        assert line.startswith("ok")
    else:
        assert line.startswith("warn")
        assert words in line
        assert misc_status == 200 or lines(out)["ssh-server"] == "warn"
        assert "hint: give hoopjump an API key of the group auditor" in out


def test_check_finds_another_user_mapping(run: Run, bastion: Bastion) -> None:
    """A certificate that is one person here and another there is a failure."""
    bastion.configure(bastion.gateway.api_url, f"file:{bastion.directory}/api-key", 'cert_attribute = "key_id"')
    _, out, _ = run("check")
    assert "FAIL  mapping: here key_id names email, at the gateway principal names email" in out


def test_check_finds_the_handoff_ca_among_the_user_cas(run: Run, bastion: Bastion) -> None:
    """With that, sshd would take what is minted for the gateway."""
    bastion.user_cas.write_text(bastion.handoff.with_suffix(".pub").read_text())
    _, out, _ = run("check")
    assert "FAIL  user-cas: the handoff CA is among trust.user_cas" in out


def test_check_finds_a_server_with_another_host_key(gateway: Replay, run: Run, bastion: Bastion) -> None:
    """Whoever answers at the SSH port must hold the key that the API tells."""
    other = keygen(bastion.directory / "other")
    misc = bastion.misc()
    misc["ssh_server_config"]["hosts_key"] = base64.b64encode(other.read_bytes()).decode()
    gateway.play("healthz", "serverinfo", "userinfo_api_key")
    gateway.answer("/api/serverconfig/misc", misc)
    bastion.configure(gateway.url, secret(bastion.directory / "key", KEY))
    _, out, _ = run("check")
    assert f"FAIL  host-key: the gateway holds {fingerprint(public_key(other))}" in out
    status, _, err = run("sync", "--yes")
    assert status == 1
    assert "another server answers there" in err
    assert not bastion.known_hosts.exists()
    assert not bastion.user_cas.exists()


def test_check_finds_a_stale_known_hosts(run: Run, bastion: Bastion) -> None:
    """The key that the file pins is not the one presented."""
    stale = keygen(bastion.directory / "stale").with_suffix(".pub").read_text()
    site = bastion.gateway
    bastion.known_hosts.write_text(f"[{site.ssh_host}]:{site.ssh_port} {stale}")
    _, out, _ = run("check")
    assert lines(out)["known-hosts"] == "FAIL"
    assert "another key is presented" in out


def test_check_reports_what_a_hostile_gateway_says_without_its_escapes(
    gateway: Replay, run: Run, bastion: Bastion
) -> None:
    """Names from the gateway cannot move the cursor."""
    gateway.play("healthz")
    gateway.answer("/api/serverinfo", {"version": "1\x1b[2J", "auth_method": "local"})
    gateway.answer("/api/userinfo", {**body("userinfo_api_key"), "name": "\x1b]0;x\x07"})
    bastion.configure(gateway.url, secret(bastion.directory / "key", KEY))
    _, out, err = run("check")
    assert "\x1b" not in out + err
    assert r"1\x1b[2J" in out


def test_sync_writes_host_key_and_user_cas(run: Run, bastion: Bastion) -> None:
    """The files hold what the gateway has, readable by all, and the diff stood on stdout."""
    status, out, _ = run("sync", "--yes")
    assert status == 0
    section = bastion.gateway.section()
    presented = ssh_server.presented_key(section)
    line = bastion.known_hosts.read_text().splitlines()[-1]
    assert line.startswith(f"[{section.ssh_host}]:{section.ssh_port} ssh-ed25519 ")
    assert fingerprint(presented) == fingerprint(base64.b64decode(line.split()[2]))
    ca = bastion.misc()["ssh_server_config"]["trusted_cas"][0]
    assert ca in bastion.user_cas.read_text()
    for path in (bastion.known_hosts, bastion.user_cas):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert f"+++ {path}" in out
    assert f"+{ca}" in out


def test_sync_a_second_time_changes_nothing(run: Run, bastion: Bastion) -> None:
    """No diff, no question, and the files stay the same files."""
    run("sync", "--yes")
    inode = bastion.user_cas.stat().st_ino
    status, out, err = run("sync")
    assert (status, out) == (0, "")
    assert "0 of 2 files to write" in err
    assert bastion.user_cas.stat().st_ino == inode


def test_sync_never_takes_the_handoff_ca(run: Run, bastion: Bastion) -> None:
    """Neither our own, wherever it stands and whatever comment it has, nor one that another bastion added."""
    misc = bastion.misc()
    ours = " ".join(bastion.handoff.with_suffix(".pub").read_text().split()[:2])
    other = " ".join(keygen(bastion.directory / "other").with_suffix(".pub").read_text().split()[:2])
    cas = [f'cert-authority,principals="a b" {ours} alice', *misc["ssh_server_config"]["trusted_cas"]]
    misc["ssh_server_config"]["trusted_cas"] = [*cas, f"{other} hoopjump handoff CA elsewhere"]
    bastion.admin().put("serverconfig", "misc", body=misc)
    status, _, err = run("sync", "--yes")
    text = bastion.user_cas.read_text()
    assert status == 0
    assert ours not in text
    assert other not in text
    assert "our own handoff CA" in err
    assert "another bastion's handoff CA" in err


def test_sync_without_knowing_the_handoff_ca_writes_nothing(run: Run, bastion: Bastion) -> None:
    """Which CA is ours must be known before any is taken over; its public key is enough."""
    public = bastion.handoff.with_suffix(".pub")
    bastion.handoff.unlink()
    status, _, err = run("sync", "--yes")
    assert status == 2
    assert "handoff" in err
    assert not bastion.user_cas.exists()
    assert run("sync", "--yes", "--handoff-ca", str(public))[0] == 0


def test_sync_does_not_lock_everybody_out(gateway: Replay, run: Run, bastion: Bastion) -> None:
    """A gateway that trusts the handoff CA alone leaves the file of user CAs as it is."""
    misc = bastion.misc()
    misc["ssh_server_config"]["trusted_cas"] = [bastion.handoff.with_suffix(".pub").read_text()]
    gateway.answer("/api/serverconfig/misc", misc)
    bastion.configure(gateway.url, secret(bastion.directory / "key", KEY))
    bastion.user_cas.write_text("untouched\n")
    status, _, err = run("sync", "--yes")
    assert status == 1
    assert "would keep everybody out" in err
    assert bastion.user_cas.read_text() == "untouched\n"


def test_sync_dry_run_shows_and_writes_nothing(run: Run, bastion: Bastion) -> None:
    """The difference, and no file."""
    status, out, _ = run("sync", "--dry-run")
    assert status == 0
    assert f"+++ {bastion.user_cas}" in out
    assert not bastion.user_cas.exists()
    assert not bastion.known_hosts.exists()


def test_sync_without_a_terminal_wants_yes(run: Run, bastion: Bastion, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that forgot --yes changes nothing and fails."""
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    status, _, err = run("sync")
    assert status == 1
    assert "--yes" in err
    assert not bastion.user_cas.exists()


def test_sync_writes_the_shared_host_key(run: Run, bastion: Bastion) -> None:
    """The key for an sshd that shares it: 0600, its public half beside it, and the private one on no screen."""
    path = bastion.directory / "ssh_host_ed25519_key"
    status, out, _ = run("sync", "--yes", "--host-key", str(path))
    assert status == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_key(path) == ssh_server.presented_key(bastion.gateway.section())
    assert "private key of SHA256:" in out
    text = path.read_text().splitlines()
    assert not any(line in out for line in text[1:-1])


def test_sync_as_json_tells_each_file(run: Run, bastion: Bastion) -> None:
    """Path, whether it differs, whether it was written, and the diff."""
    rows = json.loads(run("sync", "--yes", "--json")[1])
    assert [(row["path"], row["changed"], row["written"]) for row in rows] == [
        (str(bastion.known_hosts), True, True),
        (str(bastion.user_cas), True, True),
    ]
