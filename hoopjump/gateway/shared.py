"""Answers that several threads want at once are fetched once, and kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """One value behind ``load``: callers that come while it is being fetched wait for that answer, failures included.

    A value is kept for ``ttl`` seconds, a failure not at all.
    """

    def __init__(self, load: Callable[[], T], ttl: float) -> None:
        self._load = load
        self._ttl = ttl
        self._lock = threading.Lock()
        self._flight: Future[T] | None = None
        self._until = 0.0

    def get(self) -> T:
        """The value, at most ``ttl`` seconds old; raises what ``load`` raises."""
        with self._lock:
            flight = self._flight
            if flight is None or (flight.done() and time.monotonic() >= self._until):
                flight = self._flight = Future()
                first = True
            else:
                first = False
        if first:
            self._fetch(flight)
        return flight.result()

    def _fetch(self, flight: Future[T]) -> None:
        try:
            value = self._load()
        except BaseException as error:
            # Whoever waits must learn of it, whatever it is.
            self._until = 0.0
            flight.set_exception(error)
        else:
            self._until = time.monotonic() + self._ttl
            flight.set_result(value)
