"""The verb of administrators about keys of tokens: which there are, an end to one, and to the logins it has let in."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hoopjump.daemon.admin import ANSWER_LIMIT
from hoopjump.daemon.revocations import Revocations, SigningKey
from hoopjump.daemon.server import Call, Handler
from hoopjump.daemon.wire import WireError
from hoopjump.decision.reasons import printable
from hoopjump.decision.token_mark import short
from hoopjump.errors import HoopjumpError
from hoopjump.keys.keysets import KeySets

log = logging.getLogger(__name__)


class KeyAdministration:
    """Answers ``keys``; the server lets only root and the daemon's own uid ask."""

    def __init__(self, keys: KeySets, revocations: Revocations) -> None:
        self._keys = keys
        self._revocations = revocations

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handler of the verb."""
        return {"keys": self.keys}

    async def keys(self, call: Call) -> None:
        """``action`` list, refresh (the provider is asked now), drop or restore (of ``kid``).

        The answer is an object: ``issuers`` (:meth:`KeySets.rows`, as many keys as fit), and for a drop or its contrary
        ``of``, the names of the issuers whose key it was, or ``fault`` and ``hint``. For a drop also ``logins``, how
        many go on that tokens of the key have let in, and ``ending``: with ``end-logins`` they are being ended.
        """
        action, kid = call.message.text("action") or "list", call.message.text("kid")
        answer: dict[str, Any] = {}
        if action == "refresh":
            await self._refresh()
        elif action in ("drop", "restore") and kid:
            change = self._keys.drop if action == "drop" else self._keys.restore
            try:
                answer["of"] = of = await asyncio.to_thread(change, kid)
            except HoopjumpError as error:
                answer |= {"fault": error.message, "hint": error.hint}
                of = [error.message]
            log.warning("keys %s by uid %d: %a (%s)", action, call.uid, printable(kid), ", ".join(of) or "nobody's")
            await self._logins(call, action, kid, answer)
        elif action != "list":
            raise WireError("keys has no such action")
        answer["issuers"] = _fitting(self._keys.rows())
        await call.reply([("outcome", "ok"), ("json", json.dumps(answer))])

    async def _refresh(self) -> None:
        """Ask all providers, in threads of their own: those of asyncio look accounts up, and a provider may hang."""
        names, loop = self._keys.issuers, asyncio.get_running_loop()
        threads = ThreadPoolExecutor(max(1, len(names)), thread_name_prefix="refresh")
        try:
            await asyncio.gather(*(loop.run_in_executor(threads, self._keys.refresh, name) for name in names))
        finally:
            threads.shutdown(wait=False)

    async def _logins(self, call: Call, action: str, kid: str, answer: dict[str, Any]) -> None:
        key = _signing_key(kid, self._keys.rows())
        if action == "restore":
            self._revocations.forget(key)
            return
        answer["ending"] = call.message.one("end-logins") is not None
        if answer["ending"]:
            answer["logins"] = await self._revocations.end(
                key, f"key {printable(kid)[:64]!a} dropped by uid {call.uid}"
            )
        else:
            answer["logins"] = self._revocations.let_in(key)


def _fitting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that an answer can hold: keys that it has no room for are counted, as ``left_out`` of their row."""
    left = ANSWER_LIMIT - len(json.dumps([{**row, "keys": []} for row in rows]))
    fitting = []
    for row in rows:
        shown = []
        for key in row["keys"]:
            left -= len(json.dumps(key)) + 2
            if left < 0:
                break
            shown.append(key)
        missing = len(row["keys"]) - len(shown)
        fitting.append({**row, "keys": shown, **({"left_out": missing} if missing else {})})
    return fitting


def _signing_key(kid: str, rows: list[dict[str, Any]]) -> SigningKey:
    """The key that is meant by a name or thumbprint."""
    prints = (
        (short(row["issuer"]), key["thumbprint"])
        for row in rows
        for key in row["keys"]
        if kid in (key["kid"], key["thumbprint"])
    )
    return SigningKey(short(kid), frozenset(prints))
