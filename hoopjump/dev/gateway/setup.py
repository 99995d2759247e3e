"""A description of what a gateway shall hold, and putting it there."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from hoopjump.dev.gateway.model import Role, Store, User, hash_password, new_id, now
from hoopjump.dev.gateway.rest_roles import DEFAULT_COMMANDS, new_attribute, new_rule, put_plugin


@dataclass(frozen=True, slots=True)
class UserSpec:
    """A user. ``subject`` is the e-mail address unless named; ``user_id`` the internal UUID."""

    email: str
    name: str = ""
    groups: Sequence[str] = ()
    subject: str = ""
    user_id: str = ""
    status: str = "active"
    password: str = ""


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A resource role; ``variables`` in plain text.

    ``groups``: access control; as soon as one role has groups, roles without are seen by admins and auditors only.
    ``review``: groups that must approve, empty for none (the gateway knows one such rule; all these roles share it).
    """

    name: str
    command: Sequence[str] = ("bash",)
    type: str = "custom"
    subtype: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    groups: Sequence[str] = ()
    attributes: Sequence[str] = ()
    review: Sequence[str] = ()
    connect: bool = True
    exec: bool = True

    @classmethod
    def postgres(cls, name: str, *, host: str, port: int, user: str, database: str, password: str = "") -> Self:
        """A PostgreSQL database."""
        variables = {"HOST": host, "PORT": str(port), "USER": user, "PASS": password, "DB": database}
        command = DEFAULT_COMMANDS["postgres"]
        return cls(name, command, "database", "postgres", variables | {"SSLMODE": "disable"})

    @classmethod
    def mysql(cls, name: str, *, host: str, port: int, user: str, database: str, password: str = "") -> Self:
        """A MySQL or MariaDB database."""
        variables = {"HOST": host, "PORT": str(port), "USER": user, "PASS": password, "DB": database}
        return cls(name, DEFAULT_COMMANDS["mysql"], "database", "mysql", variables)

    @classmethod
    def ssh(cls, name: str, *, host: str, port: int, user: str, key: str) -> Self:
        """A host behind another sshd; ``key`` is the text of an OpenSSH private key."""
        variables = {"HOST": host, "PORT": str(port), "USER": user, "AUTHORIZED_SERVER_KEYS": key}
        return cls(name, (), "application", "ssh", variables)

    def role(self, agent_id: str) -> Role:
        """The row."""
        return Role(
            name=self.name,
            type=self.type,
            subtype=self.subtype,
            command=list(self.command),
            secret={
                f"envvar:{name}": base64.b64encode(value.encode()).decode() for name, value in self.variables.items()
            },
            agent_id=agent_id,
            access_mode_connect="enabled" if self.connect else "disabled",
            access_mode_exec="enabled" if self.exec else "disabled",
            attributes=list(self.attributes),
            secrets_updated_at=now() if self.variables else None,
        )


@dataclass(frozen=True, slots=True)
class Setup:
    """All of it. ``mapping`` is (certificate attribute, user attribute); ``attributes`` maps a name to groups."""

    users: Sequence[UserSpec] = ()
    roles: Sequence[RoleSpec] = ()
    trusted_cas: Sequence[str] = ()
    mapping: tuple[str, str] = ("principal", "email")
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    access_control: bool = False

    def to_json(self) -> dict[str, Any]:
        """For the process that serves it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` wrote, or a person in JSON or TOML."""
        known = dict(data)
        users = [UserSpec(**row) for row in known.pop("users", ())]
        roles = [RoleSpec(**row) for row in known.pop("roles", ())]
        mapping = known.pop("mapping", ("principal", "email"))
        return cls(users=users, roles=roles, mapping=(mapping[0], mapping[1]), **known)


def put_user(store: Store, spec: UserSpec) -> User:
    """Add a user, or replace the one of the same e-mail address and subject."""
    user = User(
        email=spec.email,
        subject=spec.subject or spec.email,
        name=spec.name or spec.email.partition("@")[0].capitalize(),
        user_id=spec.user_id or new_id(),
        status=spec.status,
        groups=list(spec.groups),
        password=hash_password(spec.password) if spec.password else "",
    )
    store.users = [each for each in store.users if each.subject != user.subject] + [user]
    return user


def put_role(store: Store, spec: RoleSpec) -> Role:
    """Add a role, or replace the one of the same name, with its access control and review."""
    role = spec.role(store.agents[0].id)
    old = store.role_named(spec.name)
    if old is not None:
        role.id = old.id
        store.roles.remove(old)
    store.roles.append(role)
    plugin = next((each for each in store.plugins if each["name"] == "access_control"), None)
    if spec.groups or plugin is not None:
        entries = [entry for entry in (plugin["connections"] if plugin else ()) if entry["id"] != role.id]
        put_plugin(store, "access_control", [*entries, {"id": role.id, "config": list(spec.groups)}])
    if spec.review:
        if not store.rules:
            body = {"name": "dev", "access_type": "jit_command", "reviewers_groups": list(spec.review)}
            store.rules.append(new_rule(body))
        store.rules[0]["connection_names"].append(role.name)
    return role


def apply(store: Store, setup: Setup) -> None:
    """Put a description into a store; the SSH server's section is stored without an address yet."""
    for user in setup.users:
        put_user(store, user)
    if setup.access_control:
        put_plugin(store, "access_control", [])
    for name, groups in setup.attributes.items():
        store.attributes.append(new_attribute(name, {"access_control_group_names": list(groups)}))
    for role in setup.roles:
        put_role(store, role)
    store.misc["ssh_server_config"] = {
        "listen_address": "127.0.0.1:0",
        "hosts_key": "",
        "trusted_cas": list(setup.trusted_cas),
        "user_mapping": {"cert_attr": setup.mapping[0], "user_attr": setup.mapping[1]},
    }
    store.save()
