"""A browser for ``--browser`` and ``BROWSER``: ``python -m tests.oidc.browse NAME URL`` logs NAME in at URL."""

from __future__ import annotations

import sys

from tests.oidc.provider import Person

if __name__ == "__main__":
    Person(sys.argv[1]).open(sys.argv[2])
