"""A stand-in for the Hoop gateway, for tests and for trying out.

It answers the part of the REST API that hoopjump uses, and its certificate SSH server has the real one's manners, the
odd ones included: what must work with the real gateway has to work with this one first. Resource roles run real
commands, forward to real databases, or relay to a real sshd. It binds loopback only.

    >>> with Gateway.start(directory, users=[UserSpec("alice@example.org")], roles=[RoleSpec("mybash")],
    ...                    trusted_cas=[ca_line]) as gateway:
    ...     print(gateway.api_url, gateway.ssh_port, gateway.host_key_line)
"""

from hoopjump.dev.gateway.embedded import EmbeddedGateway, Ready, in_thread
from hoopjump.dev.gateway.faults import Faults
from hoopjump.dev.gateway.process import Gateway
from hoopjump.dev.gateway.setup import RoleSpec, Setup, UserSpec

__all__ = ["EmbeddedGateway", "Faults", "Gateway", "Ready", "RoleSpec", "Setup", "UserSpec", "in_thread"]
