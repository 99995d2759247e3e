"""Tokens that were taken back: refused at once, also remembered ones; and all of them while the list cannot be read."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hoopjump.config import TokenIssuerSection
from hoopjump.decision.jose import TokenError
from hoopjump.decision.token_mark import TokenMark, short
from hoopjump.errors import HoopjumpError
from hoopjump.keys.keysets import KeySets
from tests.keys.provider import Provider, TokenKey

CA = "https://ca.example.com"
CA_KEY = TokenKey("binding")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """An empty list."""
    path = tmp_path / "revoked"
    path.write_text("")
    path.chmod(0o644)
    return path


@pytest.fixture
def keysets(idp: Provider, listed: Path) -> KeySets:
    return KeySets([TokenIssuerSection.model_validate(idp.section(revoked=str(listed)))])


def outcome(keysets: KeySets, token: bytes) -> str:
    """The user whom a token names, or the code with which it is refused."""
    try:
        return keysets.verify(token, time.time()).user
    except TokenError as error:
        return error.reason.code


def test_a_token_is_refused_from_the_moment_on_when_it_is_listed(keysets: KeySets, idp: Provider, listed: Path) -> None:
    """Also one that was verified before; others go on, and one that is taken off the list holds again."""
    token, other = idp.token(jti="stolen"), idp.token(jti="kept")
    assert [outcome(keysets, one) for one in (token, other)] == ["auth0|alice"] * 2
    listed.write_text("# lost on a train\n\n  stolen  \n")
    assert [outcome(keysets, one) for one in (token, other)] == ["token-revoked", "auth0|alice"]
    assert outcome(keysets, idp.token(jti="stolen", sub="auth0|bob")) == "token-revoked"
    listed.write_text("")
    assert outcome(keysets, token) == "auth0|alice"


@pytest.mark.parametrize(
    ("written", "jti"),
    [
        (b"\xef\xbb\xbfstolen\n", "stolen"),
        (b"\xef\xbb\xbf# by an editor\r\nstolen\r\n", "stolen"),
        ("sto\u2028len\n".encode(), "sto\u2028len"),
        (f"{short('#stolen')}\n".encode(), "#stolen"),
        (f"{short(' stolen')}\n".encode(), " stolen"),
        (f"{short('sto' + chr(10) + 'len')}\n".encode(), "sto\nlen"),
    ],
)
def test_no_way_of_writing_a_name_hides_it(
    keysets: KeySets, idp: Provider, listed: Path, written: bytes, jti: str
) -> None:
    """What an editor puts around names is none of them; what cannot stand on a line stands there as its hash."""
    token = idp.token(jti=jti)
    assert outcome(keysets, token) == "auth0|alice"
    listed.write_bytes(written)
    assert outcome(keysets, token) == "token-revoked"
    keysets.revoked.look()
    assert keysets.revoked.taken_back(TokenMark(idp.issuer, short(jti))) == short(jti)


def test_a_list_that_looks_as_old_as_before_is_read_anew(keysets: KeySets, idp: Provider, listed: Path) -> None:
    """As large, too, and the same file: what copies files may set their dates."""
    listed.write_text("another\n")
    token, before = idp.token(jti="mine-it"), listed.stat()
    assert outcome(keysets, token) == "auth0|alice"
    listed.write_text("mine-it\n")
    os.utime(listed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert listed.stat().st_size == before.st_size
    assert outcome(keysets, token) == "token-revoked"


@pytest.mark.parametrize("orig", [{"jti": "stolen"}, {"jti": ["stolen"]}, "stolen", None])
def test_what_was_issued_for_a_revoked_token_is_refused_with_it(
    keysets: KeySets, idp: Provider, listed: Path, orig: Any
) -> None:
    """hoopjump-ca tells for which token of a provider its own stands; what is no name is none."""
    listed.write_text("stolen\n")
    expected = "token-revoked" if orig == {"jti": "stolen"} else "auth0|alice"
    assert outcome(keysets, idp.token(jti="fresh", orig=orig)) == expected


@pytest.mark.parametrize("harm", ["gone", "open to others", "no text", "too large"])
def test_a_list_that_cannot_be_read_refuses_everybody_loudly(
    keysets: KeySets, idp: Provider, listed: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows who is on it; once it can be read, all is well."""
    token = idp.token(jti="any")
    assert outcome(keysets, token) == "auth0|alice"
    if harm == "gone":
        listed.unlink()
    elif harm == "open to others":
        listed.write_text("x\n")
        listed.chmod(0o666)
    else:
        listed.write_bytes(b"\xff\n" if harm == "no text" else b"x\n" * 600_000)
    with caplog.at_level(logging.ERROR):
        assert [outcome(keysets, token) for _ in range(3)] == ["token-revoked"] * 3
    assert [record.levelname for record in caplog.records if "nobody knows" in record.message] == ["ERROR"]
    listed.write_text("")
    listed.chmod(0o644)
    assert outcome(keysets, token) == "auth0|alice"


def test_a_list_that_is_not_there_stops_the_start(idp: Provider, tmp_path: Path) -> None:
    """A mistyped path must not look like an empty list."""
    section = TokenIssuerSection.model_validate(idp.section(revoked=str(tmp_path / "absent")))
    with pytest.raises(HoopjumpError, match="No such file"):
        KeySets([section])


# -- The token for which another one was issued ------------------------------------------------------------------------


@pytest.fixture
def both(idp: Provider, listed: Path, tmp_path: Path) -> KeySets:
    """The provider with its list, and a hoopjump-ca without one."""
    keys = tmp_path / "ca.jwks"
    keys.write_text(json.dumps({"keys": [CA_KEY.jwk]}))
    ca = {"issuer": CA, "audiences": ["hoopjump"], "keys": f"file:{keys}", "bound": True}
    sections = (idp.section(revoked=str(listed)), ca)
    return KeySets([TokenIssuerSection.model_validate(section) for section in sections])


def issued_for(idp: Provider, **orig: str) -> bytes:
    """A token of hoopjump-ca."""
    return CA_KEY.sign(idp.claims(iss=CA, orig={"iss": idp.issuer, "sub": "auth0|alice", **orig}))


def test_the_provider_s_own_list_refuses_what_was_issued_for_its_tokens(
    both: KeySets, idp: Provider, listed: Path
) -> None:
    """Of no other provider, whose names may be the same."""
    bound, other = issued_for(idp, jti="stolen"), issued_for(idp, iss="https://else.example.com", jti="stolen")
    assert [outcome(both, one) for one in (bound, other)] == ["auth0|alice"] * 2
    listed.write_text("stolen\n")
    assert [outcome(both, one) for one in (bound, other)] == ["token-revoked", "auth0|alice"]


def test_the_provider_s_own_list_must_be_readable_for_them_too(both: KeySets, idp: Provider, listed: Path) -> None:
    """Each of its tokens may be on it; those of others are not refused."""
    listed.unlink()
    assert outcome(both, issued_for(idp, jti="any")) == "token-revoked"
    assert outcome(both, issued_for(idp)) == "token-revoked"
    assert outcome(both, issued_for(idp, iss="https://else.example.com", jti="any")) == "auth0|alice"


# -- What ends those who are in ----------------------------------------------------------------------------------------


def taken_back(keysets: KeySets, mark: TokenMark) -> str | None:
    """What a look at the lists says."""
    keysets.revoked.look()
    found = keysets.revoked.taken_back(mark)
    assert found is None or found in keysets.revoked.names
    return found


@pytest.mark.parametrize(
    ("mark", "found"),
    [
        (TokenMark("{idp}", "stolen"), "stolen"),
        (TokenMark("{idp}", "other", original_issuer="https://else.example.com", original_id="stolen"), "stolen"),
        (TokenMark(CA, "x", original_issuer="{idp}", original_id="stolen"), "stolen"),
        (TokenMark("{idp}", "other"), None),
        (TokenMark("{idp}", None), None),
        (TokenMark(CA, "stolen"), None),
        (TokenMark("https://else.example.com", "stolen"), None),
        (TokenMark(CA, "stolen", original_issuer="https://else.example.com", original_id="stolen"), None),
        (TokenMark(CA, "stolen", original_issuer="{idp}"), None),
    ],
)
def test_a_listed_name_counts_for_its_issuer_alone(
    both: KeySets, idp: Provider, listed: Path, mark: TokenMark, found: str | None
) -> None:
    """The same name of another issuer's is somebody else's."""
    original = idp.issuer if mark.original_issuer == "{idp}" else mark.original_issuer
    issuer = idp.issuer if mark.issuer == "{idp}" else mark.issuer
    mark = replace(mark, issuer=issuer, original_issuer=original)
    assert taken_back(both, mark) is None
    listed.write_text("other-one\nstolen\n")
    assert taken_back(both, mark) == found


@pytest.mark.parametrize(
    "harm", ["gone", "open to others", "no text", "too large", "empty", "cut short", "a directory", "begun", "comment"]
)
def test_a_list_that_is_not_whole_ends_nobody(keysets: KeySets, idp: Provider, listed: Path, harm: str) -> None:
    """The attack would be to lock everybody out with it; once the name stands there, it ends."""
    mark = TokenMark(idp.issuer, "tok-1")
    if harm in ("gone", "a directory"):
        listed.unlink()
        if harm == "a directory":
            listed.mkdir()
    content = {
        "open to others": b"tok-1\n",
        "no text": b"tok-1\n\xff\n",
        "too large": b"tok-1\n" * 200_000,
        "empty": b"",
        "cut short": b"tok-0\ntok-1",  # of tok-11
        "begun": b"tok-1",
        "comment": b"# tok-1\n",
    }
    if harm in content:
        listed.write_bytes(content[harm])
    if harm == "open to others":
        listed.chmod(0o666)
    assert taken_back(keysets, mark) is None
    if harm == "a directory":
        listed.rmdir()
    listed.write_bytes(b"tok-1\n")
    listed.chmod(0o644)
    assert taken_back(keysets, mark) == "tok-1"
    listed.write_bytes(b"tok-2\n")
    assert taken_back(keysets, mark) is None


def test_a_name_on_a_line_without_an_end_refuses_tokens_and_is_told(
    keysets: KeySets, idp: Provider, listed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As before; that it ends nobody yet stands in the log."""
    listed.write_text("stolen")
    with caplog.at_level(logging.WARNING):
        assert outcome(keysets, idp.token(jti="stolen")) == "token-revoked"
    assert "its last line has no end" in caplog.text
    assert taken_back(keysets, TokenMark(idp.issuer, "stolen")) is None


def test_a_name_that_is_kept_as_its_hash_is_found_on_the_list(keysets: KeySets, idp: Provider, listed: Path) -> None:
    """Lists have names as the issuer gave them."""
    name = "\u00fc" * 400
    mark = keysets.verify(idp.token(jti=name), time.time()).mark
    assert mark.token_id is not None
    assert mark.token_id != name
    listed.write_text(f"{name}\n", encoding="utf-8")
    assert outcome(keysets, idp.token(jti=name)) == "token-revoked"
    assert taken_back(keysets, mark) == mark.token_id
