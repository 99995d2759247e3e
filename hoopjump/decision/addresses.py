"""The address list of a certificate's ``source-address``, matched as addrmatch.c addr_match_cidr_list does.

Entries are separated by commas: an address, or a network ``address/length`` whose host bits are zero; no names, no
wildcards, no negation. Stricter than sshd: only the usual notation of IPv4 (getaddrinfo also takes ``127.1``).
"""

from __future__ import annotations

import ipaddress
import re

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ENTRY = re.compile(r"[0-9a-fA-F.:]{1,46}(/[0-9]{1,3})?\Z")


def parse_address_list(text: str) -> tuple[Network, ...]:
    """The networks of a list; :class:`ValueError` names the entry that is none."""
    networks: list[Network] = []
    for entry in text.split(","):
        if not _ENTRY.match(entry):
            raise ValueError(f"{entry[:64]!a} is not an address or network")
        try:
            networks.append(ipaddress.ip_network(entry, strict=True))
        except ValueError as error:
            raise ValueError(f"{entry[:64]!a} is not an address or network") from error
    return tuple(networks)


def address_in(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether a client's address is in one of the networks; what is not an address is in none.

    An IPv4 address mapped into IPv6 counts as IPv4 (canohost.c ipv64_normalise_mapped).
    """
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped:
        client = client.ipv4_mapped
    return any(client.version == network.version and client in network for network in networks)
