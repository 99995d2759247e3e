"""What the daemon says of a refused SFTP session, whose client shows nothing that comes on standard error."""

from __future__ import annotations

import asyncio

import pytest

from hoopjump.daemon.texts import sftp_status
from hoopjump.decision.reasons import Reason
from tests.daemon_sessions.scene import scene


@pytest.mark.parametrize(
    ("command", "resource", "code"),
    [
        (b"/usr/lib/openssh/sftp-server", "mybash", "8"),
        (b"internal-sftp", "nowhere", "3"),
        (b"internal-sftp", None, "8"),
        (b"scp -t x", "mybash", None),
        (b"mybash internal-sftp", None, None),
        (b"nowhere ls", None, None),
    ],
)
def test_a_refused_subsystem_is_refused_in_sftp(command: bytes, resource: str | None, code: str | None) -> None:
    """The status code says what kind of failure it is; other sessions read the sentence on standard error."""

    async def story() -> None:
        async with scene() as found:
            named = () if resource is None else (("resource", resource),)
            answer = await found.ask(("command", command), *named)
            assert answer.text("outcome") == "refuse"
            assert answer.text("sftp") == code

    asyncio.run(story())


def test_the_status_code_tells_apart_what_is_down() -> None:
    """SSH_FX_NO_CONNECTION where trying again may help, SSH_FX_PERMISSION_DENIED where it will not."""
    assert sftp_status(Reason.GATEWAY_UNAVAILABLE) == sftp_status(Reason.GATEWAY_SLOW) == 6
    assert sftp_status(Reason.LOGIN_UNKNOWN) == sftp_status(Reason.ROLE_UNKNOWN) == 3
