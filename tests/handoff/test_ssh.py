"""The configuration, arguments and environment with which ssh goes to the gateway, as ssh itself reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hoopjump.handoff.ssh import Destination, HandoffError, arguments, config_text, environment, host_keys

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIMjoVaaxKT+0ZBzWbOMUGYeLQGVoN7bTLJS1FOzd2BQZ"


def destination(**changes: str | int | Path) -> Destination:
    values: dict[str, object] = {
        "host": "192.0.2.10",
        "port": 12222,
        "user": "alice@x.io",
        "agent_socket": Path("/run/hoopjump/agents/0123456789abcdef/s"),
        "known_hosts": Path("/etc/hoopjump/gateway known_hosts"),
        "connect_timeout": 30,
    }
    return Destination(**(values | changes))  # type: ignore[arg-type]


def effective(directory: Path, wanted: Destination, *options: str) -> dict[str, str]:
    """What ssh makes of a configuration: `ssh -G`."""
    path = directory / "handoff.conf"
    path.write_text(config_text(wanted))
    done = subprocess.run(["ssh", "-G", "-F", path, *options, "gateway"], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_the_hook_can_carry_the_connection(tmp_path: Path) -> None:
    """With a relay ssh talks to the hook, which is told where the gateway is; without one, to the gateway itself."""
    path = tmp_path / "handoff.conf"
    path.write_text(config_text(destination(), "/usr/bin/python3 -ISE /usr/lib/hoopjump/hook"))
    done = subprocess.run(["ssh", "-G", "-F", path, "gateway"], check=True, capture_output=True, text=True)
    assert "proxycommand /usr/bin/python3 -ISE /usr/lib/hoopjump/hook relay %h %p\n" in done.stdout
    assert "proxyjump" not in done.stdout
    assert "proxycommand" not in effective(tmp_path, destination())


@pytest.mark.parametrize("relay", ["hook", "/lib/hook;id", "/lib/%u", "/lib/$HOME", "/lib/hook\nUser root"])
def test_a_relay_that_says_more_than_a_path_is_refused(relay: str) -> None:
    """The line goes to a shell."""
    with pytest.raises(HandoffError):
        config_text(destination(), relay)


def test_ssh_reads_what_was_meant(tmp_path: Path) -> None:
    """Every value arrives: the destination, the one agent, the pinned host key, and nothing that opens more."""
    seen = effective(tmp_path, destination())
    wanted = {
        "hostname": "192.0.2.10",
        "connecttimeout": "30",
        "port": "12222",
        "user": "alice@x.io",
        "identityagent": "/run/hoopjump/agents/0123456789abcdef/s",
        "identityfile": "none",
        "identitiesonly": "no",
        "preferredauthentications": "publickey",
        "batchmode": "yes",
        "userknownhostsfile": "/etc/hoopjump/gateway known_hosts",
        "globalknownhostsfile": "/dev/null",
        "stricthostkeychecking": "true",
        "updatehostkeys": "false",
        "canonicalizehostname": "false",
        "controlmaster": "false",
        "escapechar": "none",
        "forwardagent": "no",
        "forwardx11": "no",
        "clearallforwardings": "yes",
        "permitlocalcommand": "no",
        "loglevel": "ERROR",
    }
    assert {name: seen.get(name) for name in wanted} == wanted
    assert not {"proxycommand", "proxyjump", "controlpath", "sendenv", "setenv", "localforward"} & set(seen)


@pytest.mark.parametrize(
    "user", ["auth0|1", "alice@x.io", "a", "A.b_c:d|e+f-g", "@", "00000000-0000-4000-8000-000000000000"]
)
def test_every_login_name_that_a_certificate_may_have_passes(tmp_path: Path, user: str) -> None:
    """Names that ssh refuses as an argument are taken from the configuration."""
    assert effective(tmp_path, destination(user=user))["user"] == user


@pytest.mark.parametrize("host", ["gateway.x.io", "192.0.2.10", "2001:db8::1", "::1", "gate_way"])
def test_hosts_of_every_form_pass(tmp_path: Path, host: str) -> None:
    """Names and addresses of both kinds arrive unchanged."""
    assert effective(tmp_path, destination(host=host))["hostname"] == host


@pytest.mark.parametrize(
    "user",
    [
        "",
        "-oProxyCommand=id",
        "alice\nProxyCommand id",
        "alice\rProxyCommand id",
        'alice" ProxyCommand "id',
        "alice bob",
        "alice\tbob",
        "alice#x",
        "%h",
        "${HOME}",
        "$HOME",
        "`id`",
        "a\\b",
        "a'b",
        "alice\0",
        "ålice",
        "alice\n",
        "a" * 256,
    ],
)
def test_a_login_name_that_could_say_more_is_refused(user: str) -> None:
    """Nothing is escaped: a name with anything special in it has no place in a configuration."""
    with pytest.raises(HandoffError, match="cannot stand"):
        config_text(destination(user=user))


@pytest.mark.parametrize("host", ["", "-x", "a b", "a\nb", "%h", "a%eth0", '"a"', "[::1]"])
def test_a_host_that_could_say_more_is_refused(host: str) -> None:
    """The host comes from the administrator, and is held to its form all the same."""
    with pytest.raises(HandoffError, match="cannot stand"):
        config_text(destination(host=host))


@pytest.mark.parametrize("path", ["relative", "/a%b", "/a$b", '/a"b', "/a\nb", "/a#b", "/a\\b", "/a~b"])
@pytest.mark.parametrize("field", ["known_hosts", "agent_socket"])
def test_a_path_that_ssh_would_expand_is_refused(field: str, path: str) -> None:
    """Tokens, variables and quotes in paths are refused."""
    with pytest.raises(HandoffError, match="cannot stand"):
        config_text(destination(**{field: Path(path)}))


def test_a_socket_path_beyond_the_kernels_limit_is_refused() -> None:
    """108 bytes with the final NUL are all that an address of a Unix socket can hold."""
    with pytest.raises(HandoffError, match="too long"):
        config_text(destination(agent_socket=Path("/" + "a" * 107)))


def test_the_command_is_one_word_and_no_option() -> None:
    """Whatever the command holds, it is one argument after `--`; a terminal is asked for or refused outright."""
    command = b"pgdemo -oProxyCommand=id \xff\n'\""
    plain = arguments(Path("/usr/bin/ssh"), Path("/c"), command, terminal=False)
    assert plain == [b"/usr/bin/ssh", b"-F", b"/c", b"-T", b"gateway", b"--", command]
    assert arguments(Path("/usr/bin/ssh"), Path("/c"), command, terminal=True)[3] == b"-tt"


@pytest.mark.parametrize("command", [b"", b"a\0b", b"a" * 131072], ids=["empty", "NUL", "128 KiB"])
def test_a_command_that_cannot_be_an_argument_is_refused(command: bytes) -> None:
    """Without a command ssh would ask for a shell; with a NUL or too many bytes execve(2) would fail."""
    with pytest.raises(HandoffError):
        arguments(Path("/usr/bin/ssh"), Path("/c"), command, terminal=False)


@pytest.mark.parametrize(
    ("term", "seen"),
    [(None, None), (b"xterm-256color", b"xterm-256color"), (b"", b"dumb"), (b"x;id", b"dumb"), (b"x\n", b"dumb")],
)
def test_the_environment_is_ours(term: bytes | None, seen: bytes | None) -> None:
    """Nothing of the session's environment passes but the terminal's type, if it is one."""
    values = environment(term)
    assert values.get(b"TERM") == seen
    assert set(values) <= {b"PATH", b"HOME", b"LANG", b"TERM"}


def test_pinned_keys_are_the_plain_ones() -> None:
    """Comments, marked lines and damaged ones pin nothing."""
    text = f"# x\n[h]:1 ssh-ed25519 {KEY} note\n@revoked h ssh-ed25519 {KEY[:-4]}AAAA\nh ssh-ed25519 xx\n\nh\n"
    assert len(host_keys(text.encode())) == 1
    assert host_keys(b"") == frozenset()
