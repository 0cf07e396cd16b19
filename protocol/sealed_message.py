"""What a dealer seals to one recipient: its pieces (empty under ``none`` or for a bank outside the committee) and, from
the roster's first member where the algorithm asks for one, the entity key. Each part is sealed by itself; the service
relays the container and can open neither.
"""

from __future__ import annotations

import struct

from protocol.errors import SealedMessageMalformed

_HEAD = struct.Struct(">I")


def join_sealed(pieces: bytes, entity_key: bytes) -> bytes:
    """The container: length of the sealed pieces (4 bytes, big-endian), the sealed pieces, the sealed entity key."""
    return _HEAD.pack(len(pieces)) + pieces + entity_key


def split_sealed(message: bytes) -> tuple[bytes, bytes]:
    """The inverse of `join_sealed`.

    Raises:
        SealedMessageMalformed: shorter than it says.
    """
    if len(message) < _HEAD.size:
        raise SealedMessageMalformed(expected=f"at least {_HEAD.size} bytes", got=f"{len(message)} bytes")
    length = _HEAD.unpack_from(message)[0]
    if len(message) < _HEAD.size + length:
        raise SealedMessageMalformed(expected=f"{length} bytes of sealed pieces", got=f"{len(message) - _HEAD.size}")
    return message[_HEAD.size : _HEAD.size + length], message[_HEAD.size + length :]
