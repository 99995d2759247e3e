"""Moments for people to read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

# PROTOCOL.certkeys: this end means that a certificate never expires.
FOREVER: Final = 2**64 - 1


def moment_text(seconds: int) -> str:
    """Unix seconds in UTC, or as the bare number where no calendar reaches."""
    if seconds == FOREVER:
        return "forever"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s after 1970"
