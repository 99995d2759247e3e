"""A file of ours for one other account to read: an access ACL (acl(5)), which takes its owner no capability."""

from __future__ import annotations

import errno
import os
import struct
from typing import Final

# linux/posix_acl.h, linux/posix_acl_xattr.h: tag, permissions, and an id that only named users have.
_ATTRIBUTE: Final = "system.posix_acl_access"
_VERSION: Final = 2
_OWNER, _USER, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID: Final = 0xFFFFFFFF
_READ, _WRITE = 4, 2


def readable_by(descriptor: int, uid: int) -> None:
    """Let this account read a file, and nobody else; everybody, where the file system knows no ACLs.

    Raises :class:`OSError`.
    """
    if uid == os.geteuid():
        os.fchmod(descriptor, 0o600)
        return
    entries = (
        (_OWNER, _READ | _WRITE, _NO_ID),
        (_USER, _READ, uid),
        (_GROUP, 0, _NO_ID),
        (_MASK, _READ, _NO_ID),
        (_OTHERS, 0, _NO_ID),
    )
    acl = struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(descriptor, _ATTRIBUTE, acl)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
            raise
        os.fchmod(descriptor, 0o644)
