"""Internal UUIDs of users from the gateway's PostgreSQL database, read only.

These rights are enough, and leave password hashes, tokens and secrets denied::

    GRANT CONNECT ON DATABASE hoop TO hoopjump;
    GRANT USAGE ON SCHEMA private TO hoopjump;
    GRANT SELECT (id, org_id, subject, email, status) ON private.users TO hoopjump;
"""

from __future__ import annotations

import importlib
import math
from typing import Any

from hoopjump.config import ConfigError, GatewaySection, read_secret
from hoopjump.errors import HoopjumpError
from hoopjump.gateway.client import GatewayError

_QUERY = "SELECT subject, email FROM private.users WHERE id = %s"


class DirectoryDatabase:
    """One short connection a lookup; answers are kept further up.

    Raises :class:`ConfigError` when the connection string cannot be read or psycopg is not installed.
    """

    def __init__(self, section: GatewaySection) -> None:
        if section.directory_database is None:
            raise ConfigError("gateway.directory_database is not set")
        self._conninfo = read_secret(section.directory_database)
        # libpq takes whole seconds, and takes 1 for 2.
        self._connect_timeout = max(2, math.ceil(section.connect_timeout))
        self._statement_timeout = int(section.read_timeout * 1000)
        try:
            self._psycopg: Any = importlib.import_module("psycopg")
        except ImportError as error:
            raise ConfigError(
                "gateway.directory_database needs psycopg, which is not installed",
                "pip install 'hoopjump[postgresql]'",
            ) from error

    def subject(self, user_id: str) -> tuple[str, str] | None:
        """Subject and address of a UUID; raises :class:`HoopjumpError`, never with the connection string in it."""
        try:
            with self._psycopg.connect(
                self._conninfo,
                connect_timeout=self._connect_timeout,
                options=f"-c default_transaction_read_only=on -c statement_timeout={self._statement_timeout}",
                application_name="hoopjump",
            ) as connection:
                row = connection.execute(_QUERY, (user_id,)).fetchone()
        except (self._psycopg.errors.QueryCanceled, self._psycopg.errors.ConnectionTimeout) as error:
            raise GatewayError("slow", "the gateway's database did not answer in time") from error
        except self._psycopg.Error as error:
            # The message of a failed connection may repeat parts of the connection string: only its kind is told.
            code = getattr(error, "sqlstate", None)
            raise HoopjumpError(
                f"the gateway's database: {type(error).__name__}{f' ({code})' if code else ''}",
                "try the connection string of gateway.directory_database with psql",
            ) from None
        if row is None:
            return None
        subject, email = row
        return str(subject), str(email)
