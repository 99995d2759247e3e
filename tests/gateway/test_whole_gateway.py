"""The gateway side against a whole gateway: the embedded one, or the real one of HOOPJUMP_TEST_GATEWAY."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoopjump.decision.keys import fingerprint
from hoopjump.decision.values import Found, Lookup, Missing, User
from hoopjump.findings import Level
from hoopjump.gateway import changes, checks, ssh_server
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.directory import Directory
from hoopjump.gateway.roles import RoleFound, RoleMissing, Roles
from hoopjump.gateway.sessions import Sessions
from hoopjump.gateway.ssh_server import HANDOFF_COMMENT, Authority
from tests.gateway.files import keygen, public_key
from tests.gateway.site import Site, site


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway for all tests here; they leave it as it is, but for a trusted CA more."""
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


def user(gateway: Site) -> User:
    """The test user, as the directory has it."""
    answer = Directory(gateway.client(), gateway.section()).answer(Lookup("email", gateway.user))
    assert isinstance(answer, Found), answer
    return answer.user


def test_user_is_found_by_email_and_by_subject(gateway: Site) -> None:
    """Both lookups lead to the same active user."""
    found = user(gateway)
    assert found.active
    directory = Directory(gateway.client(), gateway.section())
    assert directory.answer(Lookup("subject", found.subject)) == Found(found)


@pytest.mark.parametrize("value", ["nobody-here@hoopjump.test", "nobody-here", "realm/nobody", '"no body"@x.io'])
def test_unknown_user_is_missing(gateway: Site, value: str) -> None:
    """Whatever it looks like, a value that nobody has is nobody."""
    directory = Directory(gateway.client(), gateway.section())
    assert directory.answer(Lookup("email", value)) == Missing()
    assert directory.answer(Lookup("subject", value)) == Missing()


def test_inactive_user_is_found_inactive(gateway: Site) -> None:
    """The API does not look at the status; the answer carries it."""
    answer = Directory(gateway.client(), gateway.section()).answer(Lookup("email", gateway.needs("inactive_user")))
    assert isinstance(answer, Found)
    assert not answer.user.active


def test_role_is_found_and_listed(gateway: Site) -> None:
    """The test user sees the command-line role."""
    roles = Roles(gateway.client(), gateway.section())
    found = roles.find(gateway.role, user(gateway))
    assert isinstance(found, RoleFound)
    assert found.role.protocol == "command-line"
    assert gateway.role in [role.name for role in roles.visible(user(gateway))]


def test_role_is_served_by_its_agent(gateway: Site) -> None:
    """The API names the agent that the test was told of, and says that it is there."""
    connection = gateway.client().get("connections", gateway.role)
    assert isinstance(connection, dict)
    assert (connection["agent_id"], connection["status"]) == (gateway.agent_id, "online")


def test_postgres_role_is_recognised(gateway: Site) -> None:
    """Type and subtype decide the protocol."""
    found = Roles(gateway.client(), gateway.section()).find(gateway.needs("postgres_role"), user(gateway))
    assert isinstance(found, RoleFound)
    assert found.role.protocol == "postgres"


def test_hidden_role_is_missing(gateway: Site) -> None:
    """An auditor's key sees it; the user must not learn of it."""
    hidden = gateway.needs("hidden_role")
    roles = Roles(gateway.client(), gateway.section())
    answer = roles.find(hidden, user(gateway))
    assert isinstance(answer, RoleMissing)
    assert hidden not in answer.visible_names
    assert answer == roles.find("no-such-role", user(gateway))


def test_no_approval_is_running(gateway: Site) -> None:
    """Nobody has approved anything for the test user."""
    role = Roles(gateway.client(), gateway.section()).find(gateway.role, user(gateway))
    assert isinstance(role, RoleFound)
    assert Roles(gateway.client(), gateway.section()).approved_until(user(gateway), role.role) is None


def test_exit_status_of_a_session_is_in_its_row(gateway: Site, tmp_path: Path) -> None:
    """What ssh was told is what the row says, found by user, role, verb and start."""
    role = Roles(gateway.client(), gateway.section()).find(gateway.role, user(gateway))
    assert isinstance(role, RoleFound)
    started = time.time()
    session = gateway.ssh(tmp_path, f"{gateway.role} exit 7")
    status = Sessions(gateway.client()).exit_status(user(gateway), role.role, "exec", started)
    assert status is not None, session
    # The gateway loses the exit status of some sessions; that is what the row is for.
    assert session.returncode in (status, 255)


def test_certificate_of_a_trusted_ca_opens_a_session(gateway: Site, tmp_path: Path) -> None:
    """The way that a handoff takes: principal, permit-pty, a role's name as the command."""
    unknown = gateway.ssh(tmp_path, "no-such-role-here true")
    assert b"no-such-role-here" in unknown.stderr + unknown.stdout
    assert b"not found" in unknown.stderr + unknown.stdout


def test_presented_host_key_is_the_stored_one(gateway: Site) -> None:
    """An auditor's key reads the private host key; its public half is what the server proves."""
    server = ssh_server.settings(gateway.client())
    assert fingerprint(ssh_server.host_key(server)) == fingerprint(ssh_server.presented_key(gateway.section()))


def test_findings_of_a_sound_gateway(gateway: Site, tmp_path: Path) -> None:
    """With known_hosts and CAs taken over, all that fails is what the gateway was never told: our handoff CA."""
    section = gateway.section(known_hosts=tmp_path / "known_hosts")
    server = ssh_server.settings(gateway.client())
    assert server.user_mapping is not None
    section = section.model_copy(
        update={"cert_attribute": server.user_mapping.cert_attr, "user_attribute": server.user_mapping.user_attr}
    )
    section.known_hosts.write_text(changes.known_hosts(server, section))
    handoff = public_key(keygen(tmp_path / "handoff"))
    authorities = changes.user_authorities(server, handoff)
    local = checks.Local(frozenset(authority.blob for authority in authorities.taken), handoff)
    findings = list(checks.run(gateway.client(), section, local))
    failed = [finding.name for finding in findings if finding.level is Level.FAILURE]
    assert failed == ["handoff-ca"], findings
    assert [finding.name for finding in findings] == [
        "api", "version", "api-key", "mapping", "user-cas", "handoff-ca", "host-key", "known-hosts", "five-minutes",
    ]  # fmt: skip


def test_trust_adds_one_line_and_nothing_else(gateway: Site, tmp_path: Path) -> None:
    """The rest of the configuration reads as before, and the SSH server presents the same key.

    At a real gateway this ends all live sessions, so it needs HOOPJUMP_TEST_ADMIN_KEY; the line is removed again.
    """
    client = GatewayClient(gateway.section(read_timeout=30), gateway.needs("admin_key"))
    ours = Authority(public_key(keygen(tmp_path / "handoff")), f"{HANDOFF_COMMENT} test")
    plan = changes.plan_trust(client, ours)
    assert plan.needed
    try:
        host_key = changes.carry_out_trust(client, gateway.section(), plan)
        assert host_key == ssh_server.host_key(ssh_server.settings(client))
        again = changes.plan_trust(client, ours)
        assert not again.needed
        section = plan.before["ssh_server_config"]
        expected = {**section, "trusted_cas": [*section["trusted_cas"], plan.line]}
        assert again.before == {**plan.before, "ssh_server_config": expected}
        assert ours.blob not in {
            authority.blob for authority in changes.user_authorities(ssh_server.settings(client), b"").taken
        }
    finally:
        client.put("serverconfig", "misc", body=plan.before)
    assert ssh_server.presented_key(gateway.section()) == host_key
