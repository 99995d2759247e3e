"""The API answers as a real gateway was recorded to: status, content type, keys, every value that can be equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from hoopjump.dev.gateway import EmbeddedGateway, RoleSpec, Setup, UserSpec, in_thread
from hoopjump.dev.gateway.identity import issue_token
from hoopjump.dev.gateway.model import Session
from hoopjump.dev.gateway.setup import put_role
from tests.dev.replay import compare, transcript
from tests.dev.yard import Authority

PASSWORD = "correct horse"
USERS = (
    UserSpec("admin@x.io", groups=("admin",), password=PASSWORD),
    UserSpec("alice@x.io", groups=("dev",), password=PASSWORD, user_id="f1b02e47-3b43-41ae-8c24-e4590a651d54"),
    UserSpec("bob@x.io", groups=("dev",), status="inactive"),
    UserSpec("carol@x.io"),
    UserSpec("dave@x.io", groups=("dev",), status="inactive"),
    UserSpec("eve@x.io", groups=("auditor",)),
    UserSpec("olga@x.io", subject="auth0|5f1c", groups=("dev",)),
)


class Api:
    """A gateway's API, called as anybody."""

    def __init__(self, gateway: EmbeddedGateway, url: str, admin_key: str, authority: Authority) -> None:
        self.gateway = gateway
        self.url = url
        self.authority = authority
        self.admin = {"Authorization": f"Bearer {admin_key}"}

    def key(self, name: str, *groups: str) -> dict[str, str]:
        """The headers of an API key."""
        for key in self.gateway.store.api_keys:
            if key.name == name:
                key.name = f"old {name}"
        return {"Authorization": f"Bearer {self.gateway.store.add_api_key(name, list(groups), 'admin@x.io')[1]}"}

    def user(self, email: str) -> dict[str, str]:
        """The headers of a logged-in user, whose token names the subject as an identity provider's does."""
        user = next(user for user in self.gateway.store.users if user.email == email)
        return {"Authorization": f"Bearer {issue_token(self.gateway.store, replace(user, email=user.subject))}"}

    def replay(
        self, name: str, headers: dict[str, str], path: str | None = None, body: object = None
    ) -> requests.Response:
        """Send the recorded request, with headers that are good here."""
        request = transcript(name)["request"]
        return requests.request(
            request["method"],
            self.url + (path or request["path"]),
            headers=headers,
            json=body or request["body"],
            timeout=20,
        )

    def check(self, name: str, headers: dict[str, str], path: str | None = None, body: object = None) -> dict[str, Any]:
        """Send it, and compare the answer."""
        response = self.replay(name, headers, path, body)
        compare(name, response)
        answer: dict[str, Any] = {} if response.status_code == 204 else response.json()
        return answer


def serve(directory: Path, users: tuple[UserSpec, ...], roles: tuple[RoleSpec, ...]) -> Iterator[Api]:
    """A gateway of the recordings' kind."""
    directory.mkdir()
    authority = Authority(directory)
    with in_thread(Setup(users, roles, (authority.line,))) as (gateway, ready):
        gateway.store.api_keys.pop()
        yield Api(gateway, ready.api_url, ready.admin_key, authority)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """With the users of the recordings, and the role mybash."""
    yield from serve(tmp_path / "full", USERS, (RoleSpec("mybash"),))


@pytest.fixture
def empty_api(tmp_path: Path) -> Iterator[Api]:
    """Without users or roles."""
    yield from serve(tmp_path / "empty", (), ())


@pytest.mark.parametrize(
    "name",
    [
        "users_get_by_email", "users_get_by_internal_uuid", "users_get_by_subject", "users_get_inactive",
        "users_get_missing", "users_list", "connections_get", "connections_get_missing", "fail_unknown_route",
        "sessions_get_missing", "connections_post_bad_name", "connections_post_duplicate",
        "plugins_access_control_missing", "serverinfo", "serverconfig_misc_get",
        "serverconfig_misc_put_400_bad_cert_attr", "serverconfig_misc_put_400_bad_grpc_url",
        "serverconfig_misc_put_400_bad_listen", "serverconfig_misc_put_400_bad_user_attr",
        "serverconfig_misc_put_400_missing_user_mapping",
    ],
)  # fmt: skip
def test_admin_key_is_answered_as_recorded(api: Api, name: str) -> None:
    """Reading, and writes that are refused."""
    api.gateway.store.misc["rdp_server_config"] = api.gateway.store.misc["http_proxy_server_config"] = None
    config = api.gateway.store.misc["ssh_server_config"]
    recorded = transcript("serverconfig_misc_get")["response"]["body"]["ssh_server_config"]
    config |= {"listen_address": recorded["listen_address"], "trusted_cas": recorded["trusted_cas"]}
    compare(name, api.replay(name, api.admin))


@pytest.mark.parametrize("name", ["healthz", "publicserverinfo", "fail_no_header", "localauth_login_wrong_password"])
def test_nobody_is_answered_as_recorded(api: Api, name: str) -> None:
    """Without any credential."""
    api.check(name, {})


def test_bad_credentials_cannot_be_told_apart(api: Api) -> None:
    """Unknown and revoked keys, a token that nobody signed, a token of somebody inactive: one answer."""
    api.check("fail_unknown_hpk", {"Authorization": "Bearer hpk_" + "A" * 43})
    revoked = api.key("gone", "admin")
    api.gateway.store.api_keys[-1].status = "revoked"
    api.check("fail_revoked_hpk", revoked)
    token = api.user("alice@x.io")["Authorization"]
    api.check("fail_wrong_jwt", {"Authorization": token[:-6] + "AAAAAA"})
    api.check("userinfo_inactive_user", api.user("dave@x.io"))
    api.check("fail_wrong_api_key_header", {"Api-Key": "wrong"})
    api.check("fail_role_not_allowed", api.user("alice@x.io"))


@pytest.mark.parametrize("value", ["bearer {}", "Bearer  {}", "Basic {}", "{}"])
def test_scheme_is_case_sensitive_with_one_space(api: Api, value: str) -> None:
    """Anything else is 401."""
    token = api.admin["Authorization"].removeprefix("Bearer ")
    assert (
        requests.get(f"{api.url}/api/users", headers={"Authorization": value.format(token)}, timeout=5).status_code
        == 401
    )


def test_api_key_header_wins_over_a_valid_bearer(api: Api) -> None:
    """A wrong Api-Key beside a good token is refused."""
    api.check("fail_wrong_api_key_header", api.admin | {"Api-Key": "wrong"})


def test_userinfo_of_a_user_and_of_a_key(api: Api) -> None:
    """A key's name stands where the e-mail stands."""
    api.check("userinfo", api.user("alice@x.io"))
    api.check("userinfo_api_key", api.key("bastion", "admin"))


def test_local_authentication(api: Api, empty_api: Api) -> None:
    """Login gives a token in a header that works; the first registration makes an admin."""
    body = {"email": "alice@x.io", "password": PASSWORD}
    api.check("localauth_login", {}, body=body)
    token = api.replay("localauth_login", {}, body=body).headers["Token"]
    api.check("userinfo", {"Authorization": f"Bearer {token}"})
    empty_api.check("localauth_register", {})
    assert empty_api.gateway.store.users[0].groups == ["admin"]


def test_new_user_has_the_internal_id_once(empty_api: Api) -> None:
    """The 201 answer has it, and the password; later answers have the subject."""
    created = empty_api.check("users_post", empty_api.admin)
    compare("users_get_by_email", empty_api.replay("users_get_by_email", empty_api.admin))
    assert created["id"] == empty_api.gateway.store.users[0].user_id


def test_api_keys_are_shown_once(api: Api) -> None:
    """The list has them masked."""
    api.gateway.store.api_keys.clear()
    admin = api.user("admin@x.io")
    created = api.check("api_keys_post", admin)
    requests.get(f"{api.url}/api/userinfo", headers={"Authorization": f"Bearer {created['key']}"}, timeout=5)
    api.key("groupless")
    api.check("api_keys_list", admin)


def test_new_connection(empty_api: Api) -> None:
    """201 with its shape."""
    agent = empty_api.gateway.store.agents[0].id
    body = transcript("connections_post")["request"]["body"] | {"agent_id": agent}
    empty_api.check("connections_post", empty_api.admin, body=body)


def test_secrets_are_for_admins(api: Api) -> None:
    """An auditor's key gets an empty object, and so does every list."""
    put_role(
        api.gateway.store,
        RoleSpec.postgres("pgdemo", host="127.0.0.1", port=15432, user="postgres", database="demo", password="x"),
    )
    api.check("connections_get_postgres", api.admin)
    for headers in (api.key("auditor", "auditor"), api.key("groupless"), api.user("alice@x.io")):
        answer = requests.get(f"{api.url}/api/connections/pgdemo", headers=headers, timeout=5).json()
        assert (answer["secret"], answer["default_database"]) == ({}, "")
    rows = requests.get(f"{api.url}/api/connections", headers=api.admin, timeout=5).json()
    assert [row["secret"] for row in rows] == [{}, {}]


def test_connection_pages(api: Api) -> None:
    """With page or page_size the answer has another shape."""
    put_role(api.gateway.store, RoleSpec("mongo", ("mongo", "--quiet", "$CONNECTION_STRING"), "database", "mongodb"))
    for number in range(8):
        put_role(api.gateway.store, RoleSpec(f"zzz{number}"))
    api.check("connections_list_paged", api.admin)


def test_access_control_hides_roles(api: Api) -> None:
    """With the plugin on, a user sees what shares a group with them; auditors and admins see everything."""
    put_role(api.gateway.store, RoleSpec("mybash", groups=("dev",)))
    put_role(api.gateway.store, RoleSpec("secret"))
    api.gateway.store.plugins[0]["connections"] = api.gateway.store.plugins[0]["connections"][:1]
    api.check("plugins_access_control", api.key("groupless"))
    rows = api.replay("connections_list_access_control_alice", api.user("alice@x.io"), "/api/connections").json()
    assert [row["name"] for row in rows] == ["mybash"]
    api.check("connections_get_access_denied_groupless_user", api.user("carol@x.io"))
    assert api.replay("connections_get", api.key("groupless")).status_code == 404
    for headers in (api.admin, api.key("auditor", "auditor")):
        assert requests.get(f"{api.url}/api/connections/secret", headers=headers, timeout=5).status_code == 200


def test_attribute_grants_access(api: Api) -> None:
    """A role is seen through an attribute that is linked to one of the user's groups."""
    attribute = {"name": "prod", "access_control_group_names": ["dev"]}
    requests.post(f"{api.url}/api/attributes", headers=api.admin, json=attribute, timeout=5)
    put_role(api.gateway.store, RoleSpec("tagged", groups=("nobody",), attributes=("prod",)))
    for email, status in (("alice@x.io", 200), ("carol@x.io", 404)):
        headers = api.user(email)
        assert requests.get(f"{api.url}/api/connections/tagged", headers=headers, timeout=5).status_code == status


def test_offline_agent_and_review_are_seen(api: Api) -> None:
    """A role says offline, and which reviews it wants."""
    api.gateway.faults.agent_offline = ["mybash"]
    api.check("connections_get_agent_offline", api.admin)
    put_role(api.gateway.store, RoleSpec("jitbash", review=("admin",)))
    api.gateway.store.rules[0]["access_max_duration"] = 900
    api.check("connections_get_review_required", api.admin)


def test_new_rule(api: Api) -> None:
    """One rule, and no more without a licence."""
    api.check("review_rule_post", api.admin)
    assert api.replay("review_rule_post", api.admin).status_code == 403


def test_auditor_key_reads_and_does_not_write(api: Api) -> None:
    """It reads the SSH server's section, host key and all; POST sessions and kill are 403."""
    auditor = api.key("auditor", "auditor")
    misc = requests.get(f"{api.url}/api/serverconfig/misc", headers=auditor, timeout=5)
    assert misc.json()["ssh_server_config"]["hosts_key"]
    for path in ("/api/sessions", "/api/sessions/x/kill", "/api/users", "/api/connections"):
        assert requests.post(f"{api.url}{path}", headers=auditor, json={}, timeout=5).status_code == 403
    assert (
        requests.get(f"{api.url}/api/serverconfig/misc", headers=api.user("alice@x.io"), timeout=5).status_code == 403
    )


def test_script_by_rest(api: Api) -> None:
    """Output and exit code in one answer."""
    api.check("sessions_post_exec", api.user("alice@x.io"))


def row_of(api: Api, connection: str = "livebash") -> Session:
    """A live session of Alice's."""
    row = Session("alice@x.io", "alice@x.io", "Alice", connection, "custom", "", "connect")
    api.gateway.store.sessions.append(row)
    return row


def test_session_rows(api: Api) -> None:
    """Live, killed by an admin, not by others; finished with its events."""
    row = row_of(api)
    api.check("sessions_list_live", api.admin)
    api.check("sessions_get_forbidden", api.user("carol@x.io"), f"/api/sessions/{row.id}")
    api.check("sessions_kill_not_owner", api.user("carol@x.io"), f"/api/sessions/{row.id}/kill")
    compare("sessions_kill", api.replay("sessions_kill", api.admin, f"/api/sessions/{row.id}/kill"))
    api.check("sessions_get_killed", api.admin, f"/api/sessions/{row.id}")
    done = row_of(api)
    done.verb = "exec"
    done.end(7)
    api.check("sessions_get_event_stream", api.admin, f"/api/sessions/{done.id}?expand=event_stream")
    killed_again = api.replay("sessions_kill", api.admin, f"/api/sessions/{done.id}/kill")
    assert (killed_again.status_code, done.exit_code) == (204, 7)


def test_serverconfig_put_replaces_everything(api: Api) -> None:
    """An omitted section stops that proxy, and a new host key is made when none is given."""
    old = api.gateway.store.misc["ssh_server_config"]
    body = transcript("serverconfig_misc_put")["request"]["body"]
    body["ssh_server_config"]["listen_address"] = old["listen_address"]
    response = api.replay("serverconfig_misc_put", api.admin, body=body)
    recorded = transcript("serverconfig_misc_put")["response"]["body"]
    assert response.json().keys() == recorded.keys()
    assert response.json()["rdp_server_config"] is None
    assert response.json()["ssh_server_config"].keys() == recorded["ssh_server_config"].keys()
    assert response.json()["ssh_server_config"]["hosts_key"] != old["hosts_key"]


def test_bad_authority_is_a_failed_start(api: Api) -> None:
    """500 with Go's sentence; nothing is stored."""
    stored = dict(api.gateway.store.misc["ssh_server_config"])
    body = transcript("serverconfig_misc_put_500_bad_ca")["request"]["body"]
    body["ssh_server_config"]["listen_address"] = stored["listen_address"]
    api.check("serverconfig_misc_put_500_bad_ca", api.admin, body=body)
    assert api.gateway.store.misc["ssh_server_config"] == stored
