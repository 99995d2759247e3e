"""stub"""

from __future__ import annotations

from collections.abc import Sequence


class Backend:
    """stub"""

    api_url = ""
    api_key = ""
    ssh_host = "127.0.0.1"
    ssh_port = 0
    known_hosts = ""

    def start(self, *, trusted_cas: Sequence[str], cert_attribute: str, user_attribute: str) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError
