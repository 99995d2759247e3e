"""One request and its answer: nothing of the environment is heeded, no redirect is followed, nothing is inflated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, Literal

import requests
import urllib3.exceptions

from hoopjump import __version__
from hoopjump.decision.reasons import printable
from hoopjump.http.deadline import Deadline, DeadlineAdapter

_CHUNK: Final = 64 * 1024
_CAUSE_LIMIT: Final = 200

Fault = Literal["unreachable", "slow", "tls", "garbage"]


class ExchangeError(Exception):
    """There is no usable answer; the text says why, without a URL.

    Kinds: ``unreachable`` (no connection, or one that broke off), ``slow`` (no whole answer in time), ``tls`` (none, or
    its certificate is not trusted), ``garbage`` (an answer that means nothing).
    """

    def __init__(self, kind: Fault, text: str) -> None:
        super().__init__(text)
        self.kind: Final = kind


class _Session(requests.Session):
    """Takes no answer for a redirect: requests reads the body of one to its end, inflated, to see where it leads."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere."""


def new_session(adapter: DeadlineAdapter, ca_file: Path | None) -> requests.Session:
    """No proxy, netrc or certificate setting of the environment, no cookies, and TLS is always verified."""
    session = _Session()
    session.trust_env = False
    session.verify = str(ca_file) if ca_file else True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.headers.clear()
    session.headers.update(
        {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"hoopjump/{__version__}"}
    )
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


@contextmanager
def exchange(
    session: requests.Session,
    method: str,
    url: str,
    deadline: Deadline,
    timeouts: tuple[float, float],
    **content: Any,  # noqa: ANN401 - passed on
) -> Iterator[requests.Response]:
    """An answer, whose body :func:`read_body` reads; ``timeouts`` are for connecting and for each read, in seconds.

    Raises :class:`ExchangeError`, also for what happens to the connection while the body is read.
    """
    try:
        with session.request(method, url, timeout=timeouts, allow_redirects=False, stream=True, **content) as response:
            yield response
    except (ExchangeError, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if deadline.cut:
            raise _late(deadline) from error
        if isinstance(error, ExchangeError):
            raise
        raise _fault(error, timeouts) from error
    # A connection that was cut can look like an answer that has ended.
    if deadline.cut:
        raise _late(deadline)


def read_body(response: requests.Response, limit: int) -> bytes:
    """The whole body; raises :class:`ExchangeError` when it has more than ``limit`` bytes, or would be inflated."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ExchangeError("garbage", "the answer is compressed, though that was not asked for")
    parts: list[bytes] = []
    size = 0
    while chunk := response.raw.read1(_CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            raise ExchangeError("garbage", f"the answer is larger than {limit} bytes")
    return b"".join(parts)


def _late(deadline: Deadline) -> ExchangeError:
    return ExchangeError("slow", f"no whole answer within {deadline.seconds:g} s")


def _fault(error: Exception, timeouts: tuple[float, float]) -> ExchangeError:
    match error:
        case requests.exceptions.SSLError():
            return ExchangeError("tls", f"TLS failed: {_cause(error)}")
        case requests.exceptions.ConnectTimeout():
            return ExchangeError("unreachable", f"no connection within {timeouts[0]:g} s")
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            return ExchangeError("slow", f"no answer within {timeouts[1]:g} s")
        case requests.exceptions.ConnectionError() | urllib3.exceptions.ProtocolError():
            return ExchangeError("unreachable", _cause(error))
        case requests.exceptions.RequestException() | urllib3.exceptions.HTTPError():
            return ExchangeError("garbage", _cause(error))
        case _:
            # requests reports a CA file that is missing or no PEM as a plain OSError.
            return ExchangeError("tls", _cause(error))


def _cause(error: BaseException) -> str:
    """The innermost reason; what requests and urllib3 wrap around it holds URLs and addresses of Python objects."""
    reason = error
    while True:
        inner = getattr(reason, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((part for part in reason.args if isinstance(part, BaseException)), reason.__cause__)
        if inner is None or inner is reason:
            break
        reason = inner
    text = getattr(reason, "verify_message", None) or getattr(reason, "strerror", None)
    # Of a URL that cannot be used.
    if not text and not isinstance(reason, ValueError):
        text = re.sub(r"<[^<>]*object at 0x[0-9a-f]+>:? *|\w+\([^()]*\): ", "", str(reason))
    return printable(text or type(reason).__name__, _CAUSE_LIMIT)
