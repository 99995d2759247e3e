"""What can be made to go wrong, while the gateway runs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Faults:
    """Switches; the defaults are what the real gateway does.

    ``early_close``: the server closes TCP right after the exit status (all roles but type ssh).
    ``lose_exit_status``: every Nth session of such a role ends without an exit status; 0 is never.
    ``serial_handshake``: one handshake at a time, so that one idle TCP connection holds up all logins.
    ``refusal_text``: silent refusals (access, mode, review) say the gateway's one sentence instead of nothing.
    ``ssh_hang``: accepted TCP connections are never answered.
    ``ssh_down``: TCP connections are closed at once.
    ``agent_offline``: names of roles whose agent is gone.
    ``api_delay``: seconds before each answer of the API, or, with ``api_delay_for``, before those to requests whose
    address holds this text; ``api_status``: answer everything with this status (0: off);
    ``api_garbage``: answer 200 with something that is not JSON; ``api_down``: close every connection unanswered.
    """

    early_close: bool = True
    lose_exit_status: int = 0
    serial_handshake: bool = True
    refusal_text: bool = False
    ssh_hang: bool = False
    ssh_down: bool = False
    agent_offline: list[str] = field(default_factory=list)
    api_delay: float = 0.0
    api_delay_for: str = ""
    api_status: int = 0
    api_garbage: bool = False
    api_down: bool = False

    def update(self, changes: dict[str, Any]) -> None:
        """Set switches by name; raises :class:`ValueError` for an unknown name or a value of another type."""
        kinds: dict[str, type] = {each.name: type(getattr(Faults(), each.name)) for each in fields(self)}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"unknown fault {name!r}; known: {', '.join(kinds)}")
            if kinds[name] is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)  # noqa: PLW2901 - JSON has one kind of number
            if type(value) is not kinds[name]:
                raise ValueError(f"fault {name!r} wants {kinds[name].__name__}, got {value!r}")
            setattr(self, name, value)
