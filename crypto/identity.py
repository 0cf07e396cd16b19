"""A party's identity: Ed25519 (RFC 8032) signatures under a context, so that one kind of message is never another."""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from crypto.errors import SignatureInvalid, UnsealFailed

PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
_DOMAIN = b"fraud-consortium/signature/v1\0"


def _message(context: bytes, message: bytes) -> bytes:
    return _DOMAIN + struct.pack(">I", len(context)) + context + message


class Identity:
    """A signing key; never printed."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.signing_key = key
        self.public_bytes = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Identity:
        """A fresh key."""
        return cls(Ed25519PrivateKey.generate())

    def __repr__(self) -> str:
        return f"Identity({self.public_bytes.hex()[:16]}…)"

    def to_secret_bytes(self) -> bytes:
        """The private key, 32 bytes; to be sealed in the key store."""
        return self.signing_key.private_bytes_raw()

    @classmethod
    def from_secret_bytes(cls, data: bytes) -> Identity:
        """The inverse of `to_secret_bytes`.

        Raises:
            UnsealFailed: another length.
        """
        if len(data) != PUBLIC_BYTES:
            raise UnsealFailed("signing key", expected=f"{PUBLIC_BYTES} bytes", got=str(len(data)))
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def sign(self, message: bytes, *, context: bytes) -> bytes:
        """64 bytes over the context and the message."""
        return self.signing_key.sign(_message(context, message))


def verify(public_bytes: bytes, signature: bytes, message: bytes, *, context: bytes) -> None:
    """Checks a signature made by `Identity.sign`.

    Raises:
        SignatureInvalid: another key, context or message, or no key at all.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_bytes).verify(signature, _message(context, message))
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(
            context.decode(errors="replace"), expected="a signature by the named key", got="one that does not verify"
        ) from error
