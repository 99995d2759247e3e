"""`hoopjump gateway trust`: one line more at the gateway, and nothing else changed."""

from __future__ import annotations

import json

import pytest

from hoopjump.gateway import changes, ssh_server
from hoopjump.gateway.client import GatewayClient
from tests.gateway.bastion import Bastion, Run
from tests.gateway.files import public_key, secret
from tests.gateway.replay import KEY, Replay, body


def test_trust_adds_the_handoff_ca_and_nothing_else(run: Run, bastion: Bastion) -> None:
    """One line more, the same host key, and a warning before."""
    before = bastion.misc()
    host_key = ssh_server.presented_key(bastion.gateway.section())
    status, out, err = run("trust", "--yes", "--admin-key", bastion.admin_key())
    assert (status, out) == (0, "")
    after = bastion.misc()
    added = after["ssh_server_config"]["trusted_cas"].pop()
    assert after == before
    assert added.startswith(" ".join(bastion.handoff.with_suffix(".pub").read_text().split()[:2]))
    assert " hoopjump handoff CA " in added
    assert err.index("every live session there ends") < err.index("answers with")
    assert ssh_server.presented_key(bastion.gateway.section()) == host_key


def test_trust_a_second_time_does_nothing(run: Run, bastion: Bastion) -> None:
    """No admin's key is needed, and nobody's session ends."""
    run("trust", "--yes", "--admin-key", bastion.admin_key())
    misc = bastion.misc()
    status, out, err = run("trust", "--json")
    assert status == 0
    assert json.loads(out)["changed"] is False
    assert "already" in err
    assert bastion.misc() == misc


def test_trust_without_an_admin_key_says_how_to_give_one(run: Run, bastion: Bastion) -> None:
    """The auditor's key of the configuration is not tried."""
    before = bastion.misc()
    status, _, err = run("trust", "--yes")
    assert status == 2
    assert "--admin-key credential:NAME or file:/PATH" in err
    assert bastion.misc() == before


def test_trust_refuses_a_key_on_the_command_line(run: Run, bastion: Bastion) -> None:
    """A key in argv is in every process list; what was given is not repeated."""
    status, _, err = run("trust", "--yes", "--admin-key", "hpk_" + "x" * 43)
    assert status == 2
    assert "hpk_" not in err
    assert bastion.misc()["ssh_server_config"]["trusted_cas"]


def test_trust_with_an_auditors_key_changes_nothing(run: Run, bastion: Bastion) -> None:
    """The gateway refuses, and it is said."""
    before = bastion.misc()
    status, _, err = run("trust", "--yes", "--admin-key", f"file:{bastion.directory}/api-key")
    assert status == 1
    assert "403" in err
    assert bastion.misc() == before


def test_trust_dry_run_changes_nothing(run: Run, bastion: Bastion) -> None:
    """The line is shown; not even an admin's key is needed."""
    before = bastion.misc()
    status, _, err = run("trust", "--dry-run")
    assert status == 0
    assert "would add" in err
    assert bastion.misc() == before


def test_trust_leaves_a_password_server_alone(gateway: Replay, run: Run, bastion: Bastion) -> None:
    """A first CA would replace the server that takes passwords."""
    misc = bastion.misc()
    misc["ssh_server_config"].update(trusted_cas=None, user_mapping=None)
    gateway.answer("/api/serverconfig/misc", misc)
    bastion.configure(gateway.url, secret(bastion.directory / "key", KEY))
    status, _, err = run("trust", "--yes", "--admin-key", bastion.admin_key())
    assert status == 1
    assert "takes no certificates yet" in err
    assert [request.method for request in gateway.requests] == ["GET"]


def test_trust_notices_a_change_in_between(bastion: Bastion) -> None:
    """What an administrator has just changed elsewhere is not written over."""
    ours = ssh_server.Authority(public_key(bastion.handoff), "test")
    plan = changes.plan_trust(bastion.admin(), ours)
    misc = bastion.misc()
    misc["http_proxy_server_config"] = {"listen_address": "127.0.0.1:18888"}
    bastion.admin().put("serverconfig", "misc", body=misc)
    with pytest.raises(changes.ChangeError, match="changed just now"):
        changes.carry_out_trust(bastion.admin(), bastion.gateway.section(), plan)
    assert bastion.misc() == misc


def test_trust_tells_of_a_server_that_did_not_start(gateway: Replay, bastion: Bastion) -> None:
    """A failed start leaves the gateway's SSH server down; how it is revived is said."""
    plan = changes.plan_trust(bastion.admin(), ssh_server.Authority(public_key(bastion.handoff), "test"))
    gateway.answer("/api/serverconfig/misc", plan.before)
    response = body("serverconfig_misc_put_500_bad_ca")
    gateway.answer("/api/serverconfig/misc", response, status=500, method="PUT")
    client = GatewayClient(bastion.gateway.section(api_url=gateway.url), KEY)
    with pytest.raises(changes.ChangeError) as caught:
        changes.carry_out_trust(client, bastion.gateway.section(), plan)
    assert "may have stopped its SSH server" in caught.value.message
    assert "listen address" in caught.value.hint
