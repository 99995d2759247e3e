"""Where tokens are kept between two logins: the system's keyring, or a file that nobody else can read."""

from __future__ import annotations

import importlib
import json
from typing import Any, Final, Protocol

from hoopjump.decision.jose import TokenError, parse_object
from hoopjump.identity import private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.settings import LoginSettings
from hoopjump.identity.state import Places
from hoopjump.identity.tokens import Tokens

SERVICE: Final = "hoopjump"


class Store(Protocol):
    """Keeps the tokens of one identity."""

    name: str

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
    """An entry of the system's keyring, by the library ``keyring``; its errors become :class:`IdentityError`."""

    name = "keyring"

    def __init__(self, library: Any, places: Places) -> None:  # noqa: ANN401 - a module
        self._library = library
        self._entry = (SERVICE, places.name)

    def read(self) -> bytes | None:
        """What is kept."""
        text = self._call("get_password")
        return text.encode() if isinstance(text, str) else None

    def write(self, data: bytes) -> None:
        """Keep this."""
        self._call("set_password", data.decode())

    def forget(self) -> None:
        """Remove the entry."""
        if self.read() is not None:
            self._call("delete_password")

    def _call(self, name: str, *values: str) -> object:
        try:
            return getattr(self._library, name)(*self._entry, *values)
        except Exception as error:  # backends raise what they like
            raise IdentityError(
                "store-unsafe", f"the keyring does not work: {type(error).__name__}", 'or set store = "file"'
            ) from error


def open_store(settings: LoginSettings, places: Places) -> Store:
    """The store that is configured; raises :class:`IdentityError` when there is no keyring and it must be one."""
    library = None if settings.store == "file" else _keyring()
    if library is not None:
        return KeyringStore(library, places)
    if settings.store == "keyring":
        raise IdentityError(
            "store-unsafe", "there is no keyring here", 'pip install "hoopjump[keyring]", or set store = "file"'
        )
    return FileStore(places)


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
