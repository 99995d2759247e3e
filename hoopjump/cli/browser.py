"""A browser for the login page: the one that was named, the desktop's, or one of the terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import Final

from hoopjump.errors import HoopjumpError

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")

# Isolated: no module of the working directory is loaded.
_OPENER: Final = (sys.executable, "-I", "-c", "import sys, webbrowser; webbrowser.open(sys.argv[1])")


def can_browse(named: str | None) -> bool:
    """Whether a browser that was named, in ``$BROWSER`` too, or a desktop's can be started."""
    return bool(named or os.environ.get("BROWSER")) or _on_desktop()


def open_page(named: str | None, url: str) -> None:
    """Open a page with the command ``named``, else as the system does.

    No browser gets our stdout: what it says there would be part of a token, and whoever reads the token would wait for
    the browser's end. A desktop's is not waited for; one that is of the terminal has it until somebody leaves it.
    """
    if named or _on_desktop():
        try:
            subprocess.Popen(
                [*(_words(named) if named else _OPENER), url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise HoopjumpError(
                f"{named or 'the browser'} cannot be started: {error.strerror}",
                "name a program that opens a page (--browser), or log in with --device",
            ) from error
    elif can_browse(named):
        subprocess.run([*_OPENER, url], stdout=sys.stderr.fileno(), check=False)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise HoopjumpError(f"--browser {command!r} is no command: {error}") from error


def _on_desktop() -> bool:
    return sys.platform == "darwin" or any(os.environ.get(name) for name in _DISPLAYS)
