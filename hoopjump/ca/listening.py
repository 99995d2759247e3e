"""What hoopjump-ca listens on: a TCP port with TLS of its own, or a Unix socket behind a proxy."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Final

from hoopjump.ca.settings import ServerSection
from hoopjump.config import ConfigError, read_secret
from hoopjump.config.credentials import secret_path
from hoopjump.errors import HoopjumpError

BACKLOG: Final = 1024
# Its owner's and its group's: whoever connects says from which address the request is.
_MODE: Final = 0o660


class ListenError(HoopjumpError):
    """There is nothing to listen on."""


def listen(settings: ServerSection) -> socket.socket:
    """A listening socket; raises :class:`ListenError`."""
    try:
        if settings.unix_path is not None:
            return _unix(settings.unix_path)
        host, port = settings.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # An IPv6 wildcard also takes IPv4, where there is IPv6 at all.
        if host == "::" and not socket.has_dualstack_ipv6():
            host, family = "0.0.0.0", socket.AF_INET  # noqa: S104
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        raise ListenError(f"{settings.listen}: {error.strerror or error}", "see server.listen") from error


def _unix(path: Path) -> socket.socket:
    """It appears under its name listening and with its mode, never in between."""
    if path.exists() and not path.is_socket():
        raise ListenError(f"{path}: is there and is no socket", "see server.listen")
    fresh = path.with_name(f"{path.name}.new")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fresh.unlink(missing_ok=True)
        listener.bind(str(fresh))
        fresh.chmod(_MODE)
        listener.listen(BACKLOG)
        fresh.replace(path)
    except OSError:
        listener.close()
        raise
    return listener


def tls_context(settings: ServerSection) -> ssl.SSLContext | None:
    """The TLS to offer, None behind a proxy; raises :class:`ConfigError`."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    read_secret(settings.tls_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, secret_path(settings.tls_key), password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{settings.tls_certificate}, {settings.tls_key}: {error.strerror or error}", "both in PEM, and of one pair"
        ) from error
    return context


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    return ""
