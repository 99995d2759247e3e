"""Where tokens are kept between two logins: the system's keyring, or a file that nobody else can read."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, Final, Protocol, TypeVar

from hoopjump.decision.jose import TokenError, parse_object
from hoopjump.identity import private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.settings import LoginSettings
from hoopjump.identity.state import Places, State
from hoopjump.identity.tokens import Tokens

SERVICE: Final = "hoopjump"

# A keyring that does not answer at once asks to be unlocked, maybe on a screen that nobody looks at.
_SOON: Final = 2.0
_UNLOCK_SECONDS: Final = 30

_UNLOCK: Final = 'unlock it (a login at the desktop does), or set store = "file"'

T = TypeVar("T")


class Store(Protocol):
    """Keeps the tokens of one identity."""

    name: str

    def check(self) -> None:
        """Raises :class:`IdentityError` when nothing could be kept."""

    def read(self) -> bytes | None:
        """What is kept, None when there is nothing."""

    def write(self, data: bytes) -> None:
        """Keep this in place of what was kept."""

    def forget(self) -> None:
        """Keep nothing."""


class FileStore:
    """A file of mode 0600."""

    name = "file"

    def __init__(self, places: Places) -> None:
        self._path = places.tokens

    def check(self) -> None:
        """A file can be written in place of any other."""

    def read(self) -> bytes | None:
        """What is kept; raises :class:`IdentityError` when others may know it."""
        return private_files.read(self._path)

    def write(self, data: bytes) -> None:
        """Keep this."""
        private_files.write(self._path, data)

    def forget(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


class KeyringStore:
    """An entry of the system's keyring, by the library ``keyring``; its errors become :class:`IdentityError`.

    ``say`` tells a person what is waited for.
    """

    name = "keyring"

    def __init__(self, library: Any, places: Places, say: Callable[[str], None]) -> None:  # noqa: ANN401 - a module
        self._library = library
        self._entry = (SERVICE, places.name)
        self._file = FileStore(places)
        self._say = say
        self._failure: IdentityError | None = None

    def check(self) -> None:
        """Have it unlocked."""
        self.read()

    def read(self) -> bytes | None:
        """What is kept."""
        text = self._call("get_password")
        return text.encode() if isinstance(text, str) else None

    def write(self, data: bytes) -> None:
        """Keep this, and no file from when no keyring was within reach."""
        self._call("set_password", data.decode())
        self._file.forget()

    def forget(self) -> None:
        """Remove the entry."""
        if self.read() is not None:
            self._call("delete_password")

    def _call(self, name: str, *values: str) -> object:
        # Nobody is asked a second time by the same command.
        if self._failure is not None:
            raise self._failure
        try:
            return _in_time(lambda: getattr(self._library, name)(*self._entry, *values), self._say)
        except IdentityError as error:
            self._failure = error
        except Exception as error:  # backends raise what they like
            if type(error).__name__ == "KeyringLocked":
                self._failure = IdentityError("store-locked", "the keyring is locked", _UNLOCK)
            else:
                self._failure = IdentityError(
                    "store-unsafe", f"the keyring does not work: {type(error).__name__}", 'or set store = "file"'
                )
            self._failure.__cause__ = error
        raise self._failure


def _in_time(call: Callable[[], T], say: Callable[[str], None]) -> T:
    """What ``call`` gives or raises; :class:`IdentityError` when it takes longer than somebody needs to unlock it."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # it is raised where it is waited for
            answer.set_exception(error)

    # A daemon, so that the end of the program does not wait for it.
    threading.Thread(target=run, daemon=True).start()
    if not wait([answer], _SOON).done:
        say("waiting for the keyring, which may ask on this machine's desktop to be unlocked")
        if not wait([answer], _UNLOCK_SECONDS).done:
            raise IdentityError("store-locked", f"nobody has unlocked the keyring within {_UNLOCK_SECONDS} s", _UNLOCK)
    return answer.result()


def open_store(settings: LoginSettings, places: Places, say: Callable[[str], None]) -> Store:
    """The store that is configured; raises :class:`IdentityError` when there is no keyring and it must be one."""
    library = None if settings.store == "file" else _in_time(_keyring, say)
    if library is not None:
        return KeyringStore(library, places, say)
    if settings.store == "keyring":
        raise IdentityError(
            "store-unsafe", "there is no keyring here", 'pip install "hoopjump[keyring]", or set store = "file"'
        )
    return FileStore(places)


def all_stores(settings: LoginSettings, places: Places, say: Callable[[str], None]) -> Iterator[Store]:
    """Wherever tokens may be that logins with these settings have left. Raises what :func:`open_store` raises."""
    # First, since it never fails: there may be one from when no keyring was within reach.
    yield FileStore(places)
    store = open_store(settings, places, say)
    if store.name != "file":
        yield store


def check_reach(store: Store, last: State | None) -> None:
    """Raises :class:`IdentityError` when the last login's tokens are not here and not gone.

    The keyring of a desktop is out of reach elsewhere on the same machine.
    """
    if store.name == "file" and last is not None and last.store == "keyring":
        raise IdentityError(
            "store-locked",
            "the login's tokens are in the keyring, which is out of reach here",
            "try it on this machine's desktop",
        )


def _keyring() -> Any | None:  # noqa: ANN401 - a module
    """The library, where it is installed and has found a keyring that encrypts."""
    try:
        library = importlib.import_module("keyring")
        # Its fail and null backends have 0 and less; files in clear have 0.5.
        return library if library.get_keyring().priority >= 1 else None
    except Exception:  # a backend may fail in any way when it is asked
        return None


def read_tokens(store: Store, settings: LoginSettings) -> Tokens | None:
    """The kept tokens, unless they are another provider's or client's, or cannot be read."""
    data = store.read()
    try:
        tokens = Tokens.read(parse_object(data)) if data else None
    except TokenError:
        return None
    if tokens is None or (tokens.issuer, tokens.client_id) != (settings.issuer, settings.client_id):
        return None
    return tokens


def write_tokens(store: Store, tokens: Tokens) -> None:
    """Keep tokens."""
    store.write(json.dumps(tokens.members()).encode())
