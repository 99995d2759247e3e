"""Internal UUIDs from the gateway's database, with a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hoopjump.decision.values import Answer, Found, Lookup, Missing, Unavailable
from hoopjump.dev.databases import PostgresServer
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.directory import Directory
from tests.gateway.files import secret
from tests.gateway.replay import KEY, Replay, section

ALICE_ID = "0b9a41c6-6a3a-4b36-8e2f-5d2a6d1c9e77"
OTHER_ID = "6f1c1f0a-9d57-4a3e-8a05-0d0f7c4f3c11"

_TABLE = """
CREATE SCHEMA private;
CREATE TABLE private.users (id uuid PRIMARY KEY, subject varchar(255) UNIQUE, email varchar(255), status text);
"""


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """A database with the gateway's table of users."""
    with PostgresServer() as server:
        text = f"postgresql://{server.user}@{server.host}:{server.port}/{server.database}"
        with psycopg.connect(text) as connection:
            connection.execute(_TABLE)
            connection.execute(
                "INSERT INTO private.users VALUES (%s, 'alice@x.io', 'alice@x.io', 'active')", (ALICE_ID,)
            )
        yield text


def ask(gateway: Replay, tmp_path: Path, dsn: str, user_id: str) -> Answer:
    """One lookup by UUID."""
    made = section(gateway.url, directory_database=secret(tmp_path / "dsn", dsn))
    return Directory(GatewayClient(made, KEY), made).answer(Lookup("user_id", user_id))


def test_user_id_is_found_in_the_database(gateway: Replay, tmp_path: Path, dsn: str) -> None:
    """The database gives the subject, the API the status and the groups; either case is one UUID."""
    gateway.play("users_get_by_email")
    for value in (ALICE_ID, ALICE_ID.upper()):
        answer = ask(gateway, tmp_path, dsn, value)
        assert isinstance(answer, Found), answer
        assert (answer.user.groups, answer.user.user_id) == (("dev",), ALICE_ID)


def test_unknown_user_id_is_missing(gateway: Replay, tmp_path: Path, dsn: str) -> None:
    """The database is sure; the API is not asked."""
    assert ask(gateway, tmp_path, dsn, OTHER_ID) == Missing()
    assert gateway.requests == []


def test_locked_table_is_slow(gateway: Replay, tmp_path: Path, dsn: str) -> None:
    """A query that does not come back ends at read_timeout."""
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE private.users IN ACCESS EXCLUSIVE MODE")
        answer = ask(gateway, tmp_path, dsn, ALICE_ID)
    assert isinstance(answer, Unavailable)
    assert answer.slow


def test_refused_connection_tells_nothing_of_the_connection_string(gateway: Replay, tmp_path: Path, dsn: str) -> None:
    """Neither host nor user of the database stand in the log."""
    other = dsn.replace("demo@", "noop@").replace("/demo", "/postgres")
    answer = ask(gateway, tmp_path, other, ALICE_ID)
    assert isinstance(answer, Unavailable)
    assert not answer.slow
    assert "127.0.0.1" not in answer.detail
    assert "noop" not in answer.detail
