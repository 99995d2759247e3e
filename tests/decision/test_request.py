"""How a session names its resource role, and what its command is then."""

from __future__ import annotations

import pytest

from hoopjump.decision.explanation import EX_USAGE
from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import (
    COMMAND_LIMIT,
    RequestError,
    SessionRequest,
    Tool,
    read_request,
    split_account,
    tool_of,
)

SFTP = "/usr/lib/openssh/sftp-server"


def read(account: str = "hoop", resource: str | None = None, command: bytes | None = None) -> SessionRequest:
    return read_request(account, resource, command, SFTP)


def refusal(account: str = "hoop", resource: str | None = None, command: bytes | None = None) -> RequestError:
    with pytest.raises(RequestError) as refused:
        read(account, resource, command)
    return refused.value


@pytest.mark.parametrize(
    ("account", "parts"),
    [
        ("alice", ("alice", None)),
        ("alice+web1", ("alice", "web1")),
        ("alice+x+web1", ("alice+x", "web1")),
        ("alice+tag@x.io", ("alice+tag@x.io", None)),
        ("alice+tag@x.io+web1", ("alice+tag@x.io", "web1")),
        ("alice+", ("alice", "")),
        ("+web1", ("", "web1")),
        ("", ("", None)),
    ],
)
def test_a_login_name_carries_its_role_after_the_last_plus(account: str, parts: tuple[str, str | None]) -> None:
    """The plus of an e-mail address is not taken for one."""
    assert split_account(account) == parts


def test_the_login_name_comes_before_the_variable_and_the_command() -> None:
    """All three name a role: the login name wins, and the command stays whole."""
    assert read("alice+web1", "web2", b"web3 ls") == SessionRequest("web1", b"web3 ls", None, "login")


def test_the_variable_comes_before_the_command() -> None:
    """HOOP_RESOURCE leaves the command whole."""
    assert read("hoop", "web2", b"web3 ls") == SessionRequest("web2", b"web3 ls", None, "resource")


def test_an_empty_variable_is_none() -> None:
    """`SetEnv HOOP_RESOURCE=` names nothing."""
    assert read("hoop", "", b"web3 ls") == SessionRequest("web3", b"ls", None, "command")


@pytest.mark.parametrize(
    ("command", "role", "rest"),
    [
        (b"mybash", "mybash", None),
        (b"mybash ", "mybash", None),
        (b"mybash ls -l", "mybash", b"ls -l"),
        (b"  mybash ls", "mybash", b"ls"),
        (b"mybash\tls", "mybash", b"ls"),
        (b"mybash echo  'a  b' ", "mybash", b"echo  'a  b' "),
        (b"mybash printf \xff\x01\nid", "mybash", b"printf \xff\x01\nid"),
    ],
)
def test_the_first_word_names_the_role(command: bytes, role: str, rest: bytes | None) -> None:
    """The rest is the command, byte by byte."""
    assert read(command=command) == SessionRequest(role, rest, None, "command")


@pytest.mark.parametrize("command", [None, b"", b"  ", b"\n"])
def test_a_session_that_names_nothing_asks_for_the_list(command: bytes | None) -> None:
    """No role is not an error here: the user is shown what there is."""
    assert read(command=command) == SessionRequest(None)


@pytest.mark.parametrize("command", [None, b"", b" "])
def test_a_named_role_without_command_is_a_shell(command: bytes | None) -> None:
    """An empty command line counts as none."""
    assert read("hoop", "web1", command) == SessionRequest("web1", None, None, "resource")


@pytest.mark.parametrize(
    "role",
    ["ab", "a" * 255, "a b", "web;id", "-oProxyCommand", "-oProxyCommand=id", "../x", "wéb", "web\n", "$(id)", "*"],
)
def test_a_malformed_role_is_a_usage_error(role: str) -> None:
    """Anything but the gateway's names is refused wherever it comes from, and so is what ssh could take for options."""
    for error in (refusal(account=f"hoop+{role}"), refusal(resource=role)):
        assert (error.reason, error.reason.value.exit_status) == (Reason.ROLE_MALFORMED, EX_USAGE)
    if " " not in role and "\n" not in role:
        assert refusal(command=role.encode()).reason is Reason.ROLE_MALFORMED


@pytest.mark.parametrize("role", ["abc", "a" * 254, "a.b-c_D9", "_-.", "..."])
def test_names_of_the_gateway_are_taken(role: str) -> None:
    """3 to 254 of its characters, at the edges too."""
    assert read(command=role.encode()).role == role
    assert read(resource=role).role == role


def test_an_empty_role_after_the_plus_is_refused() -> None:
    """`alice+` does not fall back to another name."""
    assert refusal("alice+", "web1", b"web1").reason is Reason.ROLE_MALFORMED


def test_a_command_with_nul_is_refused() -> None:
    """It could not be an argument of any program."""
    assert refusal(command=b"mybash a\0b").reason is Reason.COMMAND_MALFORMED


def test_a_command_is_bounded() -> None:
    """The largest that still fits one argument with the role in front of it."""
    assert read(resource="web1", command=b"x" * (COMMAND_LIMIT - 1)).command
    assert refusal(resource="web1", command=b"x" * COMMAND_LIMIT).reason is Reason.COMMAND_TOO_LONG


TOOLS: list[tuple[bytes, Tool]] = [
    (b"scp -t /tmp", "scp"),
    (b"scp -f file", "scp"),
    (b"scp -v -r -p -t -- /tmp", "scp"),
    (b"scp -rpt /tmp", "scp"),
    (b"/usr/bin/scp -t .", "scp"),
    (b"internal-sftp", "sftp"),
    (b"internal-sftp -l INFO", "sftp"),
    (b"/usr/lib/openssh/sftp-server", "sftp"),
    (b"/usr/libexec/sftp-server -f AUTH -l INFO", "sftp"),
    (b"rsync --server -vlogDtpre.iLsfxCIvu . /tmp", "rsync"),
    (b"rsync --server --sender -vre.iLsfxCIvu . dir", "rsync"),
    (b"git-upload-pack '/srv/x.git'", "git"),
    (b"git-receive-pack '/srv/x.git'", "git"),
    (b"git-upload-archive '/srv/x.git'", "git"),
    (b"git upload-pack x", "git"),
]


@pytest.mark.parametrize(("command", "tool"), TOOLS)
def test_the_server_side_of_a_tool_is_recognised(command: bytes, tool: Tool) -> None:
    """With the role named elsewhere the command is whole; the sftp subsystem becomes the target's program."""
    expected = SFTP.encode() if tool == "sftp" else command
    assert read("alice+web1", None, command) == SessionRequest("web1", expected, tool, "login")
    assert read("hoop", "web1", command) == SessionRequest("web1", expected, tool, "resource")


@pytest.mark.parametrize(("command", "tool"), TOOLS)
def test_a_tool_without_a_role_is_told_how_to_name_one(command: bytes, tool: Tool) -> None:
    """`scp file bastion:` must not read "no such resource role 'scp'"."""
    error = refusal(command=command)
    assert error.reason is Reason.ROLE_MISSING_FOR_TOOL
    assert error.sentence.startswith(f"{tool} ")
    assert "HOOP_RESOURCE" in error.sentence
    assert "SetEnv HOOP_RESOURCE=" in error.hint


def test_a_tool_after_a_role_is_recognised() -> None:
    """As with `rsync --rsync-path "web1 rsync"`; a path that the user typed is kept."""
    assert read(command=b"web1 rsync --server . x") == SessionRequest("web1", b"rsync --server . x", "rsync", "command")
    typed = b"/opt/sftp-server"
    assert read(command=b"web1 " + typed) == SessionRequest("web1", typed, "sftp", "command")
    assert read(command=b"web1 internal-sftp") == SessionRequest("web1", SFTP.encode(), "sftp", "command")


@pytest.mark.parametrize(
    "command",
    [
        b"scp",
        b"scp file host:",
        b"scpx -t",
        b"scp -F conf x",
        b"rsync -a x y",
        b"git status",
        b"git-upload-packs",
        b"sftp-server",
        b"/usr/lib/openssh/sftp-server; id",
        b"/usr/lib/openssh/sftp-server && id",
        b"/tmp/$(id)/sftp-server",
        b"internal-sftp\nid",
        b"echo scp -t x",
        b"ls",
    ],
)
def test_other_commands_are_no_tool(command: bytes) -> None:
    """Only the exact server sides are; a command that merely begins so is left as it is."""
    assert tool_of(command) is None
    assert read("hoop", "web1", command).command == command
