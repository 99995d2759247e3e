"""The configuration file is read strictly, and secrets come by reference only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hoopjump import config
from hoopjump.config import ConfigError

TOML = "docs/configuration.md has an example"
GOOD = '[gateway]\napi_url = "https://gw.example.com"\nssh_host = "gw.example.com"\n'


def test_smallest_configuration_has_the_documented_defaults() -> None:
    """Two keys are enough."""
    read = config.parse(GOOD, "hoopjump.toml")
    assert read.gateway.ssh_port == 12222
    assert read.session.stdin_wait == 0.3
    assert read.gateway.api_key == "credential:gateway-api-key"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (GOOD + "\n[sshd]\nhook_usr = 'x'\n", "f:6: unknown key `sshd.hook_usr`", "did you mean `hook_user`?"),
        (
            GOOD + "[audit]\n" + "x" * 5000 + " = 1\n",
            f"f:5: unknown key `audit.{'x' * 80}...`",
            "known here: file, log",
        ),
        (GOOD.replace("gateway]", "gatway]"), "f:1: unknown key `gatway`", "did you mean `gateway`?"),
        (
            "",
            "f: `gateway` is missing",
            "the keys of this table stand below a line [gateway]; docs/configuration.md has them all",
        ),
        (
            "[gateway]\nssh_host = 'x'\n",
            "f:1: `gateway.api_url` is missing",
            "gateway.api_url: Base URL of the gateway, without /api",
        ),
        (
            GOOD + "ssh_port = 70000\n",
            "f:4: `gateway.ssh_port = 70000`: must be at most 65535",
            "gateway.ssh_port: Port of the gateway's SSH server; 12222 unless set",
        ),
        (
            GOOD + "api_key = 'hpk_secret'\n",
            "f:4: `gateway.api_key`: must be credential:NAME or file:/PATH (secrets never stand in this file)",
            "gateway.api_key: API key (hpk_...), by reference; one of group auditor is enough; "
            '"credential:gateway-api-key" unless set',
        ),
        (
            GOOD + "ca_file = 'here'\n",
            'f:4: `gateway.ca_file = "here"`: must be an absolute path',
            "gateway.ca_file: PEM file of the CAs that may sign the gateway's TLS certificate",
        ),
        (
            GOOD + "[accounts]\nshared = 'hoop'\n",
            'f:5: `accounts.shared = "hoop"`: must be a list, in brackets',
            'accounts.shared: Accounts that every user may use; ["hoop"] unless set',
        ),
        (
            GOOD + "[accounts.map]\n'x@example.com' = 'y'\n",
            'f:5: `accounts.map."x@example.com" = "y"`: must be a list, in brackets',
            'accounts.map."x@example.com": More accounts by e-mail address or subject',
        ),
        (
            GOOD + "[accounts]\nmap = ['hoop']\n",
            'f:5: `accounts.map = ["hoop"]`: must be a table',
            "accounts.map: More accounts by e-mail address or subject",
        ),
        (
            "session = 3\n" + GOOD,
            "f:1: `session = 3`: must be a table",
            "the keys of this table stand below a line [session]; docs/configuration.md has them all",
        ),
        (
            GOOD + "[handoff]\nclient = 'telnet'\n",
            'f:5: `handoff.client = "telnet"`: must be "ssh" or "hoop"',
            "handoff.client: What carries sessions to the gateway: ssh, or hoop, which acts with the user's own token; "
            '"ssh" unless set',
        ),
        (
            GOOD + "[tokens.issuer]\nissuer = 'https://idp.example.com'\n",
            "f:4: `tokens.issuer`: there may be several, so each table begins with [[tokens.issuer]]",
            "tokens.issuer: The issuers that are trusted",
        ),
        (
            GOOD + "[[tokens.issuer]]\nissuer = 'https://idp.example.com'\naudiences = []\n",
            'f:6: `tokens.issuer[0].audiences = []` (issuer "https://idp.example.com"): must not be empty',
            "tokens.issuer.audiences: For whom a token must be: one of these is in `aud`",
        ),
        ("[gateway\n", "f:1: Expected ']' at the end of a table declaration", TOML),
        (GOOD + GOOD, "f:4: this table is there already", TOML),
        (GOOD + "ssh_host = 'x'\n", "f:4: this key is there already", TOML),
        (GOOD + "ssh_port = a\n", "f:4: this is no value; text stands in quotes", TOML),
        (GOOD + "ssh_port = " + "9" * 5000, "f: a number or a nesting in it has no sensible size", ""),
        ("x = " + "[" * 100_000, "f: a number or a nesting in it has no sensible size", ""),
    ],
)
def test_fault_is_told_with_its_line_and_the_nearest_name(text: str, message: str, hint: str) -> None:
    """Who mistypes finds the place at once."""
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f")
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_value_of_a_refused_secret_is_not_repeated() -> None:
    """A key pasted into the file by mistake does not go on into a log."""
    with pytest.raises(ConfigError) as caught:
        config.parse(GOOD + "api_key = 'hpk_secret'\n", "f")
    assert "hpk_secret" not in caught.value.message + caught.value.hint


def test_missing_file_names_the_option_to_use(tmp_path: Path) -> None:
    """The next step is said."""
    with pytest.raises(ConfigError, match="No such file") as caught:
        config.load(tmp_path / "none.toml")
    assert "--config" in caught.value.hint


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_configuration_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever writes there would choose the gateway that gets the API key, and the program that sessions become."""
    path = tmp_path / "hoopjump.toml"
    path.write_text(GOOD)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.message == f"{path}: is writable by others (mode {mode:04o})"
    assert caught.value.hint == f"chmod go-w {path}"
    path.chmod(0o640)
    assert config.load(path).gateway.ssh_host == "gw.example.com"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_configuration_of_another_user_is_refused_also_by_root(tmp_path: Path) -> None:
    """Root's commands with a file of somebody's would do what that somebody wants."""
    path = tmp_path / "hoopjump.toml"
    path.write_text(GOOD)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to uid 65534") as caught:
        config.load(path)
    assert "chown root:root" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("http://gateway.example.com:8009", True),
        ("http://10.0.0.1", True),
        ("http://127.0.0.1.example.com", True),
        ("https://gateway.example.com", False),
        ("http://127.0.0.1:8009", False),
        ("http://[::1]:8009", False),
        ("http://localhost", False),
    ],
)
def test_plain_http_is_clear_text_beyond_this_machine(url: str, clear: bool) -> None:
    """The API key is in every request."""
    read = config.parse(GOOD.replace("https://gw.example.com", url), "f")
    assert read.gateway.in_clear is clear


def test_secret_is_read_without_its_last_newline(tmp_path: Path) -> None:
    """Editors add one."""
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text("hpk_x\n")
    assert config.read_secret(f"file:{path}") == "hpk_x"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The mode is wrong even when nobody has looked yet."""
    path = tmp_path / "key"
    path.write_text("hpk_x")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="readable by nobody else") as caught:
        config.read_secret(f"file:{path}")
    assert caught.value.hint == f"chmod 0600 {path}"


def test_secret_that_cannot_be_read_says_whose_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit's user is not root, whose the files in /etc are."""

    def deny(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(ConfigError, match="Permission denied") as caught:
        config.read_secret(f"file:{tmp_path}/key")
    assert caught.value.hint.startswith("chown ")


def test_secret_of_another_user_is_read_by_root_only(tmp_path: Path) -> None:
    """Root uses the daemon's own files; the daemon does not take a file that somebody else can rewrite."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "key"
    path.write_text("hpk_x")
    path.chmod(0o600)
    os.chown(path, 12345, 12345)
    assert config.read_secret(f"file:{path}") == "hpk_x"


@pytest.mark.parametrize("kind", ["directory", "fifo", "endless"])
def test_secret_that_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Nothing hangs, nothing is read without an end."""
    path = Path("/dev/zero") if kind == "endless" else tmp_path / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(ConfigError, match="not a regular file"):
        config.read_secret(f"file:{path}")


def test_credential_comes_from_systemd_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd.exec(5), LoadCredential=."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="no systemd credentials here"):
        config.read_secret("credential:key")
    with pytest.raises(ConfigError) as caught:
        config.read_secret("credential:gateway-api-key")
    assert "--api-key file:/etc/hoopjump/gateway-api-key" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        config.read_secret("credential:user-ca")
    assert "systemd-run with LoadCredential=" in caught.value.hint
    (tmp_path / "key").write_text("secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert config.read_secret("credential:key") == "secret"


@pytest.mark.parametrize("host", ["gw.example.com:12222", "[2001:db8::1]", "-oProxyCommand=x", "alice@gw", "a b"])
def test_the_gateways_host_stands_alone(host: str) -> None:
    """Port, user and brackets have places of their own."""
    with pytest.raises(ConfigError, match="its port is ssh_port"):
        config.parse(GOOD.replace('ssh_host = "gw.example.com"', f'ssh_host = "{host}"'), "f")


@pytest.mark.parametrize(
    "url", ["http://eve:eve@127.0.0.1", "https://", "https://gw/?x", "https://gw/#", "ftp://gw", "gw"]
)
def test_the_gateways_url_is_a_plain_one(url: str) -> None:
    """A user in it would replace the API key in the requests; and passwords are not repeated."""
    with pytest.raises(ConfigError, match="must be https://HOST") as caught:
        config.parse(GOOD.replace("https://gw.example.com", url), "f")
    assert "eve" not in caught.value.message


@pytest.mark.parametrize("host", ["gw", "192.0.2.7", "2001:db8::1", "::1"])
def test_the_gateways_host_may_be_an_address(host: str) -> None:
    """Of either kind."""
    read = config.parse(GOOD.replace('ssh_host = "gw.example.com"', f'ssh_host = "{host}"'), "f")
    assert read.gateway.ssh_host == host


def test_a_configuration_that_cannot_be_read_says_how_it_could(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made with a strict umask, it is root's alone, and the daemon is not root."""
    path = tmp_path / "hoopjump.toml"
    path.write_text(GOOD)

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(ConfigError, match="Permission denied") as caught:
        config.load(path)
    assert caught.value.hint == f"chmod a+r {path}; it holds no secrets"
