"""One time limit for a whole HTTP call, however its bytes come.

A timeout of requests or urllib3 is one for each read, so whoever sends a byte now and then holds a thread for as long
as they like: in a TLS handshake, in headers, in a body. Here a timer shuts the connection down, which ends whatever
waits for it. Looking up the host's name is the one part that the resolver bounds (resolv.conf(5)), not we.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import Any, ClassVar, Final, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_calls: Final = threading.local()


class Deadline:
    """The limit, in seconds, of the call that this thread makes inside the context, to a :class:`DeadlineAdapter`."""

    def __init__(self, seconds: float) -> None:
        self.seconds: Final = seconds
        self.cut = False
        """Whether the connection was shut down because the time was up."""
        self._lock = threading.Lock()
        self._late = False
        self._connection: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        _calls.current = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        _calls.current = None
        self._timer.cancel()
        self._timer.join()
        self._let_go()

    def hold(self, connection: socket.socket) -> None:
        """Take this connection for the call's, and cut it at once when the time is up."""
        # A descriptor of our own: TLS takes the socket's away, and another thread may close it.
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with self._lock:
            self._let_go()
            self._connection = copy
            if self._late:
                self._cut()

    def _expire(self) -> None:
        with self._lock:
            self._late = True
            self._cut()

    def _cut(self) -> None:
        if self._connection is None:
            return
        self.cut = True
        # The other side may have been faster.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _hold(connection: socket.socket | None) -> None:
    current: Deadline | None = getattr(_calls, "current", None)
    if current is not None and connection is not None:
        current.hold(connection)


class Held:
    """A connection that the call in this thread can cut: a new one from before TLS on, a kept one when it is used."""

    def _new_conn(self) -> socket.socket:
        made = self._connect()
        _hold(made)
        return made

    def _connect(self) -> socket.socket:
        """Make a connection, as urllib3 does unless a subclass knows better."""
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        return made

    def request(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Send a request on a connection that can be cut."""
        _hold(self.sock)  # type: ignore[attr-defined]
        super().request(*arguments, **options)  # type: ignore[misc]


class DeadlineAdapter(HTTPAdapter):
    """The transport of a :class:`requests.Session` whose calls heed a :class:`Deadline`."""

    connection: ClassVar[type[Held]] = Held
    """What each of its connections is, to a proxy or not."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Make pools of such connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self.connection)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
        """Pools of such connections to a proxy."""
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = _pools(self.connection)
        return manager


def _pools(connection: type[Held]) -> dict[str, type[HTTPConnectionPool]]:
    """Pools by scheme."""

    class Plain(connection, HTTPConnection):  # type: ignore[valid-type, misc]
        pass

    class Tls(connection, HTTPSConnection):  # type: ignore[valid-type, misc]
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": Pool, "https": TlsPool}
