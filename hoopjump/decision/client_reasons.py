"""Why a session is not handed to the gateway's own client."""

from __future__ import annotations

from typing import Final

from hoopjump.decision.explanation import EX_DATAERR, EX_UNAVAILABLE, EX_USAGE, Explanation

TOKEN_MISSING: Final = Explanation(
    "client-token-missing",
    "This resource role is reached with your own token, and none was sent.",
    "put your identity provider's token into HOOPJUMP_TOKEN and send it (ssh -o SendEnv=HOOPJUMP_TOKEN); the one in a "
    "certificate is never handed on",
)
TOKEN_NOT_TAKEN: Final = Explanation(
    "client-token-not-taken",
    "Your token is of an issuer whose tokens are not handed on to the gateway.",
    "send a token of an issuer that has hand_on in the configuration, the gateway's own identity provider",
)
UNSUPPORTED: Final = Explanation(
    "client-unsupported",
    "A resource role of type {type} cannot be reached this way on this bastion.",
    "the client hoop is for command-line roles, and for commands on postgres and mysql; set handoff.roles of this one "
    "to ssh",
    EX_USAGE,
)
UNUSABLE: Final = Explanation(
    "client-unusable",
    "The bastion cannot hand your token on safely.",
    "the log says why; the client (handoff.hoop) must be root's and nobody else may read or write it, chmod 0711, and "
    "the hook needs ctypes",
    EX_UNAVAILABLE,
)
COMMAND_NOT_TEXT: Final = Explanation(
    "command-not-text",
    "The command is not UTF-8 text, and this resource role takes nothing else; nothing was run.",
    "the gateway keeps what its own client sends as text; encode it, for example with base64",
    EX_DATAERR,
)
INPUT_NOT_TEXT: Final = Explanation(
    "input-not-text",
    "The input is not UTF-8 text, and this resource role takes nothing else; nothing was run.",
    "the gateway keeps what its own client sends as text without NUL; encode it, for example with base64",
    EX_DATAERR,
)
