"""Which addresses are public: what a provider's name may lead to unless the configuration allows more."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
# RFC 4291 section 2.5.5.1: IPv4-compatible, of no use any more.
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")

# Of IANA's special-purpose registries and of their past, what some versions of Python take for global; and the one
# address at which every virtual machine of Azure finds its platform.
_SPECIAL: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",
            "192.88.99.0/24",
            "64:ff9b:1::/48",
            "2001::/23",
            "3fff::/20",
            "5f00::/16",
            "fec0::/10",
        ),
    )
)


def is_public(text: str) -> bool:
    """Whether an address is one of the Internet's, and so is the IPv4 address that it may wrap."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        wrapped = _wrapped(address)
        if wrapped is not None:
            return is_public(str(wrapped))
    if any(address in network for network in _SPECIAL):
        return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    return address.is_global and not special


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
