"""Wrong before anything has been said: segments, base64url, JSON."""

from __future__ import annotations

import base64

from tests.hostile.tokens.forge import NOW, claims, parts, segment, text, token

HEAD, BODY, TAIL = parts()
GOOD = text(claims())
INNER = GOOD[1:-1]


def spelled(segment: bytes) -> bytes:
    """The same bytes in another spelling: bits set that no byte fills."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + bytes([letters[letters.index(segment[-1:]) + 1]])


def padded_to(rest: int) -> str:
    """Good claims whose segment has this many characters over a multiple of four."""
    for filler in range(4):
        body = text(claims(filler="x" * filler))
        if len(segment(body)) % 4 == rest:
            return body
    raise AssertionError(rest)


def repeated(name: str, value: str) -> bytes:
    """Good claims with a second, other member of a name at the end."""
    return token("{" + INNER + f',"{name}":{value}' + "}")


def with_member(member: str) -> bytes:
    """Good claims and one more, as text."""
    return token("{" + INNER + "," + member + "}")


TABLE: dict[str, tuple[bytes, str]] = {
    # segments
    "empty": (b"", "malformed"),
    "one-dot": (b".", "malformed"),
    "two-dots": (b"..", "malformed"),
    "three-dots": (b"...", "malformed"),
    "one-segment": (BODY, "malformed"),
    "two-segments": (HEAD + b"." + BODY, "malformed"),
    "four-segments": (b".".join((HEAD, BODY, TAIL, TAIL)), "malformed"),
    "five-segments-like-jwe": (b".".join((HEAD, BODY, TAIL, TAIL, TAIL)), "malformed"),
    "dot-in-front": (b"." + token(), "malformed"),
    "dot-behind": (token() + b".", "malformed"),
    "no-header": (b"." + BODY + b"." + TAIL, "malformed"),
    "no-claims": (HEAD + b".." + TAIL, "malformed"),
    "no-signature": (HEAD + b"." + BODY + b".", "bad-signature"),
    "bearer": (b"Bearer " + token(), "malformed"),
    "newline-behind": (token() + b"\n", "malformed"),
    "newline-in-front": (b"\n" + token(), "malformed"),
    "space-behind": (token() + b" ", "malformed"),
    "zeros": (bytes(64), "malformed"),
    "high-bytes": (b"\xff" * 64, "malformed"),
    "utf-16": (token().decode().encode("utf-16"), "malformed"),
    "byte-order-mark": (b"\xef\xbb\xbf" + token(), "malformed"),
    "json-serialization": (text({"payload": "e30", "signatures": []}).encode(), "malformed"),
    "17-kB": (token(claims(filler="x" * 17_000)), "too-large"),
    "one-byte-too-many": (b"a" * (16 * 1024 + 1), "too-large"),
    "a-megabyte-of-dots": (b"." * 2**20, "too-large"),
    # base64url
    **{
        f"{name}-in-{place}": (
            b".".join(
                segment[:8] + bad + segment[8:] if at == place else segment
                for at, segment in zip(("header", "claims", "signature"), parts(), strict=True)
            ),
            "malformed",
        )
        for name, bad in {
            "plus": b"+AAA",
            "slash": b"/AAA",
            "equals": b"====",
            "space": b"    ",
            "newline": b"\n\n\n\n",
            "nul": b"\0\0\0\0",
            "non-ascii": "éé".encode(),
            "percent": b"%2e0",
        }.items()
        for place in ("header", "claims", "signature")
    },
    "padding-behind-signature": (token() + b"==", "malformed"),
    "padding-behind-claims": (HEAD + b"." + segment(padded_to(3)) + b"=." + TAIL, "malformed"),
    "padding-behind-header": (b".".join((base64.urlsafe_b64encode(b'{"alg":"EdDSA" }'), BODY, TAIL)), "malformed"),
    "one-letter-too-many": (token() + b"AAA", "malformed"),
    "spare-bits-in-signature": (b".".join((HEAD, BODY, spelled(TAIL))), "not-canonical"),
    "spare-bits-in-claims-2": (b".".join((HEAD, spelled(segment(padded_to(2))), TAIL)), "not-canonical"),
    "spare-bits-in-claims-3": (b".".join((HEAD, spelled(segment(padded_to(3))), TAIL)), "not-canonical"),
    "spare-bits-in-header": (b".".join((spelled(segment('{"alg":"EdDSA"}     ')), BODY, TAIL)), "not-canonical"),
    # JSON
    "claims-are-a-list": (token("[" + GOOD + "]"), "not-json"),
    "claims-are-text": (token('"' + "x" * 20 + '"'), "not-json"),
    "claims-are-a-number": (token("12345"), "not-json"),
    "claims-are-null": (token("null"), "not-json"),
    "claims-are-empty-text": (token(" "), "not-json"),
    "claims-are-a-token": (token(token()), "not-json"),
    "claims-cut-off": (token(GOOD[:-1]), "not-json"),
    "claims-twice": (token(GOOD + GOOD), "not-json"),
    "behind-claims-text": (token(GOOD + "x"), "not-json"),
    "behind-claims-nul": (token(GOOD + "\0"), "not-json"),
    "behind-claims-brace": (token(GOOD + "}"), "not-json"),
    "form-feed-behind": (token(GOOD + "\f"), "not-json"),
    "no-break-space-in-front": (token("\u00a0" + GOOD), "not-json"),
    "claims-with-byte-order-mark": (token(b"\xef\xbb\xbf" + GOOD.encode()), "not-json"),
    "claims-in-utf-16": (token(GOOD.encode("utf-16")), "not-json"),
    "claims-in-utf-16-le": (token(GOOD.encode("utf-16-le")), "not-json"),
    "claims-in-utf-32": (token(GOOD.encode("utf-32")), "not-json"),
    "claims-in-latin-1": (token(text(claims()).replace("alice", "\u00e9lice").encode("latin-1")), "not-json"),
    "overlong-utf-8": (token(GOOD.encode().replace(b"alice", b"\xc1\xa1lice")), "not-json"),
    "surrogate-in-utf-8": (token(GOOD.encode().replace(b"alice", b"\xed\xa0\x80")), "not-json"),
    "lone-surrogate": (with_member('"x":"\\ud800"'), "not-json"),
    "lone-surrogate-as-a-name": (with_member('"\\udfff":1'), "not-json"),
    "lone-surrogate-in-subject": (token(GOOD.replace("alice", "\\ud83dalice")), "not-json"),
    "nan": (with_member('"x":NaN'), "not-json"),
    "infinity": (with_member('"x":Infinity'), "not-json"),
    "minus-infinity": (with_member('"x":-Infinity'), "not-json"),
    "nan-as-end": (token(GOOD.replace(f'"exp":{NOW + 600}', '"exp":NaN')), "not-json"),
    "infinity-as-end": (token(GOOD.replace(f'"exp":{NOW + 600}', '"exp":Infinity')), "not-json"),
    "digits-without-end": (with_member('"x":' + "9" * 5000), "not-json"),
    "leading-zero": (with_member('"x":01'), "not-json"),
    "plus-sign": (with_member('"x":+1'), "not-json"),
    "hexadecimal": (with_member('"x":0x1'), "not-json"),
    "trailing-comma": (token("{" + INNER + ",}"), "not-json"),
    "single-quotes": (token(GOOD.replace('"', "'")), "not-json"),
    "comment": (token("{/**/" + INNER + "}"), "not-json"),
    "name-without-quotes": (with_member("x:1"), "not-json"),
    "control-character": (with_member('"x":"\x01"'), "not-json"),
    "newline-in-text": (with_member('"x":"a\nb"'), "not-json"),
    "unknown-escape": (with_member('"x":"\\x41"'), "not-json"),
    "header-is-a-list": (token(None, '["EdDSA"]'), "not-json"),
    "header-is-not-json": (token(None, "alg=EdDSA"), "not-json"),
    "header-with-byte-order-mark": (token(None, b'\xef\xbb\xbf{"alg":"EdDSA","kid":"ed"}'), "not-json"),
    "header-in-utf-16": (token(None, '{"alg":"EdDSA","kid":"ed"}'.encode("utf-16")), "not-json"),
    "header-with-nan": (token(None, '{"alg":"EdDSA","kid":"ed","x":NaN}'), "not-json"),
    "behind-header-text": (token(None, '{"alg":"EdDSA","kid":"ed"}x'), "not-json"),
    # repeated names
    "subject-twice": (repeated("sub", '"root"'), "duplicate-name"),
    "subject-twice-the-same": (repeated("sub", '"alice"'), "duplicate-name"),
    "subject-twice-by-escape": (repeated("\\u0073ub", '"root"'), "duplicate-name"),
    "subject-twice-with-space": (token("{" + INNER + ',"sub" : "root"}'), "duplicate-name"),
    "subject-twice-with-tab": (token("{" + INNER + ',"sub"\t:"root"}'), "duplicate-name"),
    "subject-twice-with-newline": (token("{" + INNER + ',"sub"\n:"root"}'), "duplicate-name"),
    "subject-twice-with-return": (token("{" + INNER + ',"sub"\r:"root"}'), "duplicate-name"),
    "subject-twice-among-umlauts": (token("{" + INNER + ',"name":"\u00fc","sub":"root"}'), "duplicate-name"),
    "end-twice": (repeated("exp", str(NOW + 9999)), "duplicate-name"),
    "audience-twice": (repeated("aud", '"somebody"'), "duplicate-name"),
    "issuer-twice": (repeated("iss", '"https://idp.example.com"'), "duplicate-name"),
    "groups-twice": (repeated("groups", "[]"), "duplicate-name"),
    "unused-name-twice": (token("{" + INNER + ',"x":1,"x":2}'), "duplicate-name"),
    "empty-name-twice": (token("{" + INNER + ',"":1,"":2}'), "duplicate-name"),
    "name-twice-below": (with_member('"x":{"a":1,"a":2}'), "duplicate-name"),
    "name-twice-below-hidden-by-colons": (with_member('"x":{"a":1,"a":2},"y":"::"'), "duplicate-name"),
    "name-twice-in-a-list": (with_member('"x":[{"a":1,"a":2}]'), "duplicate-name"),
    "algorithm-twice": (token(None, '{"alg":"EdDSA","kid":"ed","alg":"none"}'), "duplicate-name"),
    "kid-twice": (token(None, '{"alg":"EdDSA","kid":"other","kid":"ed"}'), "duplicate-name"),
    # depth
    "lists-in-lists": (with_member('"x":' + "[" * 17 + "]" * 17), "too-deep"),
    "lists-a-thousand-deep": (with_member('"x":' + "[" * 1000 + "]" * 1000), "too-deep"),
    "lists-that-never-close": (with_member('"x":' + "[" * 5000), "too-deep"),
    "objects-in-objects": (with_member('"x":' + '{"a":' * 17 + "1" + "}" * 17), "too-deep"),
    "objects-a-thousand-deep": (with_member('"x":' + '{"a":' * 1000 + "1" + "}" * 1000), "too-deep"),
    "mixed-depth": (with_member('"x":' + '[{"a":' * 9 + "1" + "}]" * 9), "too-deep"),
    "deep-header": (token(None, '{"alg":"EdDSA","kid":"ed","x":' + "[" * 999 + "]" * 999 + "}"), "too-deep"),
}
