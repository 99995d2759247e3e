"""`hoopjump token verify` at the edges: every hostile token, files that are none, key sets of all kinds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hoopjump.dev.documents import Document
from tests.cli.conftest import Run
from tests.hostile.tokens import forge
from tests.hostile.tokens.__main__ import write
from tests.hostile.tokens.forge import AUDIENCE, ISSUER, NOW, claims, jwk, without_kid
from tests.hostile.tokens.table import HOSTILE

NAMES = ("--issuer", ISSUER, "--audience", AUDIENCE, "--at", str(NOW), "--json")
GOOD = forge.token()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hostile tokens, and the configuration that judges them."""
    place = tmp_path_factory.mktemp("hostile")
    write(place)
    return place


@pytest.mark.parametrize("name", HOSTILE)
def test_every_hostile_token_is_refused_with_its_reason(hoopjump: Run, written: Path, name: str) -> None:
    """Exit status 1, JSON with the reason, one line with the same and nothing of the signature."""
    hostile = HOSTILE[name]
    arguments = ("--config", written / "hoopjump.toml", "token", "verify", "--at", str(NOW), "--json", "-")
    said = hoopjump(*arguments, stdin=hostile.token + b"\n")
    assert said.status == 1, said.err
    found = json.loads(said.out)
    assert (found["valid"], found["reason"]) == (False, hostile.code)
    assert said.err.startswith(f"hoopjump: {hostile.code}: ")
    assert (said.err.count("\n"), said.err.rstrip("\n").isprintable()) == (1, True)
    tail = hostile.token.rpartition(b".")[2][:64].decode("latin-1")
    assert len(tail) < 16 or tail not in said.out + said.err


def test_every_reason_of_a_hostile_token_is_documented() -> None:
    """With what to do about it."""
    page = Document.REASONS.make()
    assert {code for code in (hostile.code for hostile in HOSTILE.values()) if f"| `{code}` |" not in page} == set()


def test_the_generator_writes_every_token_and_its_reason(hoopjump: Run, tmp_path: Path) -> None:
    """For other programs."""
    subprocess.run([sys.executable, "-m", "tests.hostile.tokens", str(tmp_path)], check=True)
    expected = json.loads((tmp_path / "expected.json").read_text())
    assert len(list(tmp_path.glob("*.jwt"))) == len(HOSTILE) == len(expected["codes"])
    said = hoopjump(
        *("token", "verify", "--jwks", tmp_path / "jwks.json", "--issuer", expected["issuer"]),
        *("--audience", expected["audience"], "--at", str(expected["at"]), "--json"),
        tmp_path / "header-alg-none.jwt",
    )
    assert (said.status, json.loads(said.out)["reason"]) == (1, expected["codes"]["header-alg-none"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        (GOOD + b"\n", None),
        (b"", "token-malformed"),
        (b"\n", "token-malformed"),
        (GOOD + b"\n\n", "token-malformed"),
        (GOOD + b"\r\n", "token-malformed"),
        (GOOD + b"\n" + GOOD + b"\n", "token-malformed"),
        (GOOD + b" " + GOOD, "token-malformed"),
        (b" " + GOOD, "token-malformed"),
        (b"\xef\xbb\xbf" + GOOD, "token-malformed"),
        (b"\0", "token-malformed"),
        (b"a" * 16_385, "token-too-large"),
        (b"." * 100_000, "token-too-large"),
        (forge.token(forge.text(claims(x=0)).replace('"x":0', '"x":1e999')), "token-not-json"),
        (forge.token(claims(x=2**80, y=1e308, z="\u2028\U0001f600")), None),
    ],
)
def test_a_file_has_one_token_and_at_most_a_newline(
    hoopjump: Run, written: Path, tmp_path: Path, text: bytes, reason: str | None
) -> None:
    """Whatever the verdict is, what is on stdout is JSON."""
    (tmp_path / "token").write_bytes(text)
    said = hoopjump("token", "verify", "--jwks", written / "jwks.json", *NAMES, tmp_path / "token")
    found = json.loads(said.out, parse_constant=pytest.fail)
    assert (said.status, found["valid"], found.get("reason")) == (int(reason is not None), reason is None, reason)


def test_an_endless_file_is_a_token_that_is_too_large(hoopjump: Run, written: Path) -> None:
    """And costs no memory."""
    said = hoopjump("token", "verify", "--jwks", written / "jwks.json", *NAMES, "/dev/zero")
    assert (said.status, json.loads(said.out)["reason"]) == (1, "token-too-large")


@pytest.mark.parametrize("option", ["FILE", "--jwks", "--secret-file"])
@pytest.mark.parametrize("kind", ["absent", "directory", "pipe"])
def test_a_file_that_cannot_be_read_leaves_no_verdict(
    hoopjump: Run, written: Path, tmp_path: Path, option: str, kind: str
) -> None:
    """Exit status 2, so that nobody takes it for the refusal of a token; a pipe without a writer is not waited for."""
    path = tmp_path / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    keys = ("--jwks", written / "jwks.json") if option == "FILE" else (option, path)
    said = hoopjump("token", "verify", *keys, *NAMES, path if option == "FILE" else "-", stdin=GOOD)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"hoopjump: {path}: ")


def test_a_pipe_is_read_to_its_end(hoopjump: Run, written: Path, tmp_path: Path) -> None:
    """As of a shell's <(command)."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(GOOD,), daemon=True)
    writer.start()
    said = hoopjump("token", "verify", "--jwks", written / "jwks.json", *NAMES, tmp_path / "pipe")
    assert said.status == 0, said.err
    writer.join(60)


def test_without_a_standard_input_there_is_no_verdict(written: Path) -> None:
    """A script may have closed it."""
    command = [sys.executable, "-m", "hoopjump.cli.main", "token", "verify", "--jwks", written / "jwks.json"]
    said = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *map(str, command), *NAMES, "-"], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "hoopjump: standard input is closed\n"


ED, OTHER = jwk("ed"), jwk("other")
UNKNOWN = {"kty": "lattice", "kid": "new"}
UNNAMED = forge.token(None, '{"alg":"EdDSA"}')


@pytest.mark.parametrize(
    ("keys", "token", "reason"),
    [
        ([ED], GOOD, None),
        ([without_kid("ed")], GOOD, None),
        ([without_kid("ed")], UNNAMED, None),
        ([ED], UNNAMED, None),
        ([ED, UNKNOWN, {"kid": "no-type"}, jwk("rsa", kid="enc", use="enc")], GOOD, None),
        ([ED, UNKNOWN], UNNAMED, "token-key-unnamed"),
        ([ED, ED], GOOD, "token-key-repeated"),
        ([ED, {**OTHER, "kid": "ed"}], GOOD, "token-key-repeated"),
        ([ED, {**UNKNOWN, "kid": "ed"}], GOOD, "token-key-repeated"),
        ([OTHER], GOOD, "token-key-unknown"),
        ([{**ED, "kid": None}], UNNAMED, "token-key-unfit"),
        ([{**ED, "kid": 1}], GOOD, "token-key-unfit"),
        ([{**ED, "d": "AAAA"}], GOOD, "token-key-unfit"),
        ([{**ED, "alg": "ES256"}], GOOD, "token-key-unfit"),
        ([{**ED, "x": OTHER["x"]}], GOOD, "token-bad-signature"),
    ],
)
def test_which_key_of_a_set_counts(
    hoopjump: Run, tmp_path: Path, keys: list[dict[str, object]], token: bytes, reason: str | None
) -> None:
    """The one that is named, if it is one key and for this use; others beside it do not matter."""
    (tmp_path / "jwks").write_text(json.dumps({"keys": keys}))
    said = hoopjump("token", "verify", "--jwks", tmp_path / "jwks", *NAMES, "-", stdin=token)
    assert (said.status, json.loads(said.out).get("reason")) == (int(reason is not None), reason)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"),
        ("{}", "no list `keys`"),
        ('{"keys":[]}', "has 0 keys"),
        ('{"keys":[' + ",".join(["{}"] * 101) + "]}", "has 101 keys"),
        (json.dumps(jwk("ed")), "no list `keys`"),
        (forge.pem("rsa").decode(), "cannot be read"),
        ("\ufeff{}", "cannot be read"),
        ('{"keys":[{}],"keys":[{}]}', "two members of one name"),
        (" " * 300_000, "larger than 262144 bytes"),
    ],
)
def test_what_is_no_key_set_leaves_no_verdict(hoopjump: Run, tmp_path: Path, text: str, why: str) -> None:
    """Exit status 2, and the file is named."""
    (tmp_path / "jwks").write_text(text)
    said = hoopjump("token", "verify", "--jwks", tmp_path / "jwks", *NAMES, "-", stdin=GOOD)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"hoopjump: {tmp_path}/jwks: ")
    assert why in said.err


@pytest.mark.parametrize(
    ("secret", "mode", "status"),
    [
        (b"s" * 32, 0o600, 0),
        (b"s" * 32 + b"\n", 0o600, 0),
        (b"s" * 32 + b"\r\n", 0o600, 1),
        (b"s" * 31 + b"\n", 0o600, 2),
        (b"", 0o600, 2),
        (b"s" * 32, 0o644, 0),
        (b"s" * 100_000, 0o600, 2),
    ],
)
def test_a_secret_is_a_file_of_at_least_32_bytes(
    hoopjump: Run, tmp_path: Path, secret: bytes, mode: int, status: int
) -> None:
    """A final newline is the editor's; a return before it is the secret's."""
    path = tmp_path / "secret"
    path.touch()
    path.chmod(mode)
    path.write_bytes(secret)
    made = forge.token(claims(), algorithm="HS256", secret=b"s" * 32)
    said = hoopjump("token", "verify", "--secret-file", path, *NAMES, "-", stdin=made)
    assert said.status == status, said.err
    assert "ssss" not in said.out + said.err
    assert bool(said.out) is (status < 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--algorithm", "none"),
        ("--algorithm", "eddsa"),
        ("--algorithm", "HS512"),
        ("--algorithm", "HS256"),
        ("--algorithm", "HS256", "--algorithm", "EdDSA"),
        ("--audience", ""),
        ("--user-claim", "a..b"),
        ("--leeway", "-1"),
        ("--at", "2026-13-01"),
        ("--at", "-1"),
        ("--at", "1e9"),
        ("--at", "\u00b2"),
        ("--at", ""),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(hoopjump: Run, written: Path, arguments: tuple[str, ...]) -> None:
    """Said before any token is read."""
    said = hoopjump("token", "verify", "--jwks", written / "jwks.json", *NAMES, *arguments, "-", stdin=GOOD)
    assert (said.status, said.out) == (2, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("", "`gateway` is missing"),
        ('[gateway]\napi_url = "https://gw"\nssh_host = "gw"\n', "there is no [[tokens.issuer]]"),
    ],
)
def test_without_a_usable_configuration_there_is_no_verdict(
    hoopjump: Run, tmp_path: Path, text: str | None, why: str
) -> None:
    """Exit status 2, and the file is named."""
    if text is not None:
        (tmp_path / "hoopjump.toml").write_text(text)
    said = hoopjump("--config", tmp_path / "hoopjump.toml", "token", "verify", "--json", "-", stdin=GOOD)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"hoopjump: {tmp_path}/hoopjump.toml: ")
    assert why in said.err
    assert "\nhoopjump: hint: " in said.err


@pytest.mark.parametrize(
    ("bound", "said", "code"),
    [
        (True, {"cnf": {"jkt": "x"}}, None),
        (True, {}, "token-unbound"),
        (True, {"cnf": {"kid": "x"}}, "token-unbound"),
        (False, {}, None),
        (False, {"cnf": {"jkt": "x"}}, "token-misplaced"),
    ],
)
def test_what_the_bastion_would_refuse_anywhere_is_refused(
    hoopjump: Run, written: Path, tmp_path: Path, bound: bool, said: dict[str, object], code: str | None
) -> None:
    """By its configuration: of an issuer that binds only what is bound, of others only what is not."""
    configuration = (
        (written / "hoopjump.toml").read_text().replace("required =", f"bound = {str(bound).lower()}\nrequired =")
    )
    (tmp_path / "hoopjump.toml").write_text(configuration)
    verify = ("--config", tmp_path / "hoopjump.toml", "token", "verify", "--at", str(NOW), "--json", "-")
    found = hoopjump(*verify, stdin=forge.token(claims(**said)))
    assert (found.status, json.loads(found.out).get("reason")) == (0 if code is None else 1, code)


def test_without_the_issuers_keys_there_is_no_verdict(hoopjump: Run, written: Path, tmp_path: Path) -> None:
    """It is not the token's fault, and no script is to take it for a refusal."""
    configuration = (written / "hoopjump.toml").read_text().replace(f"{written}/jwks.json", f"{tmp_path}/none.json")
    (tmp_path / "hoopjump.toml").write_text(configuration)
    verify = ("--config", tmp_path / "hoopjump.toml", "token", "verify", "--at", str(NOW), "--json", "-")
    found = hoopjump(*verify, stdin=GOOD)
    assert (found.status, found.out) == (2, "")
    assert "hoopjump: the keys of the token's issuer cannot be had: " in found.err
    assert f"{tmp_path}/none.json" in found.err
    assert f"\nhoopjump: hint: see `keys` of [[tokens.issuer]] in {tmp_path}/hoopjump.toml\n" in found.err


@pytest.mark.parametrize("moment", [str(NOW), "2026-01-31T12:00:00Z", "2026-01-31 13:00:00+01:00", "20260131T120000Z"])
def test_the_moment_has_several_forms(hoopjump: Run, written: Path, moment: str) -> None:
    """And without a zone it is UTC, whatever the machine's is."""
    said = hoopjump("token", "verify", "--jwks", written / "jwks.json", *NAMES, "--at", moment, "-", stdin=GOOD)
    assert said.status in (0, 1)
    if moment != str(NOW):
        assert "now 2026-01-31 12:00:00 UTC" in json.loads(said.out)["detail"]
