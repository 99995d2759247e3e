"""Every field of a certificate, as data and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hoopjump.cli.output import shown
from hoopjump.decision.certificate import Certificate, Options
from hoopjump.decision.keys import PublicKey, fingerprint
from hoopjump.decision.moments import FOREVER, moment_text
from hoopjump.decision.wire import FormatError, Reader, encode_string


def describe(certificate: Certificate, now: int) -> dict[str, Any]:
    """The fields by name. Serial and times are decimal text: 64 bits are more than JSON numbers carry everywhere."""
    nonce, reserved = _remainder(certificate)
    return {
        "type": certificate.type.name.lower(),
        "key_type": certificate.key_type,
        "key": _describe_key(certificate.key),
        "ca": _describe_key(certificate.ca),
        "signature_algorithm": certificate.signature_algorithm,
        "serial": str(certificate.serial),
        "key_id": certificate.key_id,
        "principals": list(certificate.principals),
        "valid_after": str(certificate.valid_after),
        "valid_before": str(certificate.valid_before),
        "state": _state(certificate, now),
        "critical_options": _describe_options(certificate.critical_options),
        "extensions": _describe_options(certificate.extensions),
        "nonce": nonce.hex(),
        "reserved": reserved.hex(),
    }


def lines(certificate: Certificate, now: int) -> Iterator[tuple[str, str]]:
    """Label and value, in the order of the certificate; a value of several lines comes as several pairs."""
    data = describe(certificate, now)
    yield "type", f"{data['type']} certificate, {certificate.key_type}"
    yield "key", _key_text(data["key"])
    yield "signed by", f"{_key_text(data['ca'])} (signature {data['signature_algorithm']})"
    yield "serial", data["serial"]
    yield "key ID", shown(certificate.key_id) or "(empty)"
    yield from _several("principals", [shown(name) for name in certificate.principals])
    begin = "always" if certificate.valid_after == 0 else moment_text(certificate.valid_after)
    yield "valid", f"from {begin} to {moment_text(certificate.valid_before)} ({data['state']})"
    yield from _several("critical options", [_option_text(option) for option in data["critical_options"]])
    yield from _several("extensions", [_option_text(option) for option in data["extensions"]])
    yield "nonce", data["nonce"] or "(empty)"
    yield "reserved", data["reserved"] or "(empty)"


def _several(label: str, values: list[str]) -> Iterator[tuple[str, str]]:
    for number, value in enumerate(values or ["(none)"]):
        yield "" if number else label, value


def _state(certificate: Certificate, now: int) -> str:
    # sshkey.c sshkey_cert_check_authority: the begin belongs to the window, the end does not.
    if now < certificate.valid_after:
        return "not yet valid"
    if certificate.valid_before != FOREVER and now >= certificate.valid_before:
        return "expired"
    return "valid now"


def _describe_key(key: PublicKey) -> dict[str, Any]:
    described: dict[str, Any] = {"type": key.type, "bits": key.bits, "fingerprint": fingerprint(key.blob)}
    if key.application is not None:
        described["application"] = key.application
    return described


def _key_text(key: dict[str, Any]) -> str:
    application = f", application {shown(key['application'])}" if "application" in key else ""
    return f"{key['type']}, {key['bits']} bits, {key['fingerprint']}{application}"


def _describe_options(options: Options) -> list[dict[str, str | None]]:
    return [{"name": name, "value": _value(data), "data": data.hex()} for name, data in options]


def _value(data: bytes) -> str | None:
    """What is in an option: text, as almost all have it, or None when there is nothing or something else."""
    reader = Reader(data)
    try:
        value = reader.text("option")
        reader.end("option")
    except FormatError:
        return None
    return value


def _option_text(option: dict[str, str | None]) -> str:
    name = shown(option["name"] or "")
    if option["value"] is not None:
        return f"{name} {shown(option['value'])}"
    return f"{name} 0x{option['data']}" if option["data"] else name


def _remainder(certificate: Certificate) -> tuple[bytes, bytes]:
    """Nonce and reserved field, which nobody else asks for, from the signed bytes of a certificate already read."""
    reader = Reader(certificate.signed)
    reader.string("key type")
    nonce = reader.string("nonce")
    # The reserved field is the last before the CA's key; both are length-prefixed, so walk to it from the front.
    rest = Reader(certificate.signed[reader.position :])
    kind = encode_string(certificate.key.type.encode())
    while rest.position < len(certificate.key.blob) - len(kind):
        rest.byte("key")
    rest.uint64("serial")
    rest.uint32("type")
    rest.string("key ID")
    rest.string("principals")
    rest.uint64("valid after")
    rest.uint64("valid before")
    rest.string("critical options")
    rest.string("extensions")
    return nonce, rest.string("reserved")
