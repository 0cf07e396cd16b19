"""A signing key's fingerprint: what two banks read to each other on the telephone, as with SSH host keys."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated

from pydantic import BeforeValidator

from protocol.ids import DigestHex

_GROUP = 4


def fingerprint(signing_key: str) -> str:
    """SHA-256 of a public signing key's 32 raw bytes, in hex; `signing_key` is their base64."""
    return hashlib.sha256(base64.b64decode(signing_key)).hexdigest()


def grouped(digest: str) -> str:
    """The same in groups of four, for reading aloud."""
    return " ".join(digest[start : start + _GROUP] for start in range(0, len(digest), _GROUP))


def _ungrouped(text: object) -> object:
    return "".join(text.replace(":", " ").split()).lower() if isinstance(text, str) else text


#: A fingerprint as people write it down: in groups or not, in capitals or not.
Fingerprint = Annotated[DigestHex, BeforeValidator(_ungrouped)]
