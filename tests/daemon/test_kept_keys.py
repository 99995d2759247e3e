"""The daemon's keys over its restarts, while their provider is down: the real program, with its own user's files."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hoopjump.cli import daemon_socket
from hoopjump.keys.dropped import DROPPED_KEYS
from tests.daemon.service import DaemonService, service
from tests.daemon.yard import eventually
from tests.keys.conftest import idp, running_provider
from tests.keys.provider import JWKS, Answer, Provider, TokenKey

__all__ = ["idp", "running_provider"]


@asynccontextmanager
async def known(idp: Provider) -> AsyncIterator[DaemonService]:
    """A daemon that has written down the provider's keys."""
    async with service() as place:
        ca_file = place.directory / "provider-ca.pem"
        ca_file.write_bytes(idp.ca_file.read_bytes())
        section = idp.section(ca_file=str(ca_file))
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in section.items())
        place.config.write_text(f"{place.config.read_text()}[[tokens.issuer]]\n{lines}")
        place.listen()
        await place.start()
        await eventually(lambda: list(kept(place)), 60)
        yield place


def kept(place: DaemonService) -> list[Path]:
    return list((place.directory / "run").glob("key-set-*.json"))


async def keys(place: DaemonService, *question: tuple[str, str]) -> dict[str, Any]:
    """What `hoopjump keys` is told."""
    answer: dict[str, Any] = await asyncio.to_thread(daemon_socket.ask, place.socket, "keys", *question, seconds=60.0)
    return answer


async def restart(place: DaemonService, number: signal.Signals = signal.SIGTERM) -> None:
    await place.end(number)
    await place.start()


async def refreshed(place: DaemonService) -> tuple[str, list[tuple[str, bool]]]:
    """State and keys (name, dropped) of the one issuer, once it has been asked."""
    (row,) = (await keys(place, ("action", "refresh")))["issuers"]
    return row["state"], [(key["kid"], key["dropped"]) for key in row["keys"]]


def test_keys_are_kept_over_a_restart_and_a_crash_and_then_refused_loudly(idp: Provider) -> None:
    """As long as without them; and good again when the provider is."""

    async def story() -> None:
        async with known(idp) as place:
            idp.down = True
            for number in (signal.SIGTERM, signal.SIGKILL):
                await restart(place, number)
                assert await refreshed(place) == ("kept", [("first", False)])
            await place.end()
            (path,) = kept(place)
            said = json.loads(path.read_text())
            path.write_text(json.dumps({**said, "wall": said["wall"] - 86400}))
            await place.start()
            assert (await refreshed(place))[0] == "refused"
            assert "cannot be had, its tokens are refused" in place.log.read_text()
            idp.down = False
            assert await refreshed(place) == ("fresh", [("first", False)])

    asyncio.run(story())


def test_drops_outlast_the_daemon_until_they_are_taken_back(idp: Provider) -> None:
    """With the provider and without."""

    async def story() -> None:
        async with known(idp) as place:
            answer = await keys(place, ("action", "drop"), ("kid", "first"))
            assert answer["of"] == [idp.issuer]
            await restart(place, signal.SIGKILL)
            assert await refreshed(place) == ("fresh", [("first", True)])
            idp.down = True
            await restart(place)
            assert await refreshed(place) == ("kept", [("first", True)])
            assert (await keys(place, ("action", "restore"), ("kid", "first")))["of"] == [idp.issuer]
            await restart(place)
            assert await refreshed(place) == ("kept", [("first", False)])

    asyncio.run(story())


def test_a_drop_that_cannot_be_written_down_is_told_and_counts_all_the_same(idp: Provider) -> None:
    """The directory has gone; the daemon goes on."""

    async def story() -> None:
        async with known(idp) as place:
            text, elsewhere = place.config.read_text(), place.directory / "elsewhere"
            place.config.write_text(text.replace(f'keys_dir = "{place.directory}/run"', f'keys_dir = "{elsewhere}"'))
            await restart(place)
            assert await refreshed(place) == ("fresh", [("first", False)])
            assert f"cannot be written down: {elsewhere}: No such file" in place.log.read_text()
            answer = await keys(place, ("action", "drop"), ("kid", "first"))
            assert "until the next restart only" in answer["fault"]
            assert await refreshed(place) == ("fresh", [("first", True)])

    asyncio.run(story())


def test_a_set_too_large_to_be_shown_keeps_no_key_from_being_dropped(idp: Provider) -> None:
    """As many keys are shown as an answer holds, the others are counted."""

    async def story() -> None:
        async with known(idp) as place:
            template = TokenKey("").jwk
            named = [{**template, "kid": f"{number:02}" + "\U0001f600" * 253} for number in range(99)]
            body = json.dumps({"keys": [*named, idp.key.jwk]}, ensure_ascii=False).encode()
            idp.answers[JWKS] = lambda: Answer(200, body)
            (row,) = (await keys(place, ("action", "refresh")))["issuers"]
            assert 0 < len(row["keys"]) < 99
            assert len(row["keys"]) + row["left_out"] == 100
            answer = await keys(place, ("action", "drop"), ("kid", "first"), ("end-logins", "yes"))
            assert (answer["of"], answer["logins"]) == ([idp.issuer], 0)

    asyncio.run(story())


def test_a_damaged_list_of_dropped_keys_stops_the_start_and_says_what_to_do(idp: Provider) -> None:
    """Else a stolen key would be back; a damaged key set stops nothing."""

    async def story() -> None:
        async with known(idp) as place:
            await place.end()
            (path,) = kept(place)
            path.write_text("{")
            dropped = path.with_name(DROPPED_KEYS)
            dropped.write_text("{")
            status = await asyncio.to_thread(place.launch().wait, 60)
            assert status == 1
            said = place.log.read_text().splitlines()[-2:]
            assert said[0] == f"hoopjumpd: {dropped}: not a list of dropped keys"
            assert "hoopjump keys drop" in said[1]
            dropped.unlink()
            await place.start()
            assert await refreshed(place) == ("fresh", [("first", False)])
            assert "were kept are not believed" in place.log.read_text()

    asyncio.run(story())
