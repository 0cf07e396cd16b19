"""Sealing to a member's public key: HPKE (RFC 9180) with the hybrid KEM of ML-KEM-768 and X25519, from `cryptography`.

The sums are protected by lattices; key pieces that were sealed under elliptic curves alone could be kept today and
opened by a quantum computer later, and with them the sums. The hybrid costs about a kilobyte a message.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from crypto.errors import UnsealFailed, ValueOutOfBounds

_MLKEM_PUBLIC, _MLKEM_SEED, _X25519 = 1184, 64, 32
#: ML-KEM-768's encapsulation key, then X25519's public key.
PUBLIC_BYTES = _MLKEM_PUBLIC + _X25519
#: ML-KEM-768's seed, then X25519's private key.
SECRET_BYTES = _MLKEM_SEED + _X25519
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def seal(public_bytes: bytes, plaintext: bytes, *, info: bytes) -> bytes:
    """Seals to the holder of a public key.

    Args:
        public_bytes: of a `SealingKey`, PUBLIC_BYTES long.
        plaintext: any length.
        info: what the message is and in which context; the opener must name the same.

    Raises:
        ValueOutOfBounds: no such public key.
    """
    if len(public_bytes) != PUBLIC_BYTES:
        raise ValueOutOfBounds("sealing key", expected=f"{PUBLIC_BYTES} bytes", got=str(len(public_bytes)))
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(public_bytes[:_MLKEM_PUBLIC])
        curve = X25519PublicKey.from_public_bytes(public_bytes[_MLKEM_PUBLIC:])
        return _SUITE.encrypt(plaintext, hpke.MLKEM768X25519PublicKey(lattice, curve), info=info)
    except ValueError as error:  # not in ML-KEM's range, or a point of small order
        raise ValueOutOfBounds("sealing key", expected="a valid public key", got="another") from error


class SealingKey:
    """A private key that opens what was sealed to its public half; never printed."""

    def __init__(self, lattice: MLKEM768PrivateKey, curve: X25519PrivateKey) -> None:
        self._lattice, self._curve = lattice, curve
        self.public_bytes = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SealingKey:
        """A fresh key."""
        return cls(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())

    def __repr__(self) -> str:
        return "SealingKey(…)"

    def to_secret_bytes(self) -> bytes:
        """The private key, SECRET_BYTES long; to be sealed in the key store."""
        return self._lattice.private_bytes_raw() + self._curve.private_bytes_raw()

    @classmethod
    def from_secret_bytes(cls, data: bytes) -> SealingKey:
        """The inverse of `to_secret_bytes`.

        Raises:
            UnsealFailed: another length.
        """
        if len(data) != SECRET_BYTES:
            raise UnsealFailed("sealing key", expected=f"{SECRET_BYTES} bytes", got=str(len(data)))
        return cls(
            MLKEM768PrivateKey.from_seed_bytes(data[:_MLKEM_SEED]),
            X25519PrivateKey.from_private_bytes(data[_MLKEM_SEED:]),
        )

    def open(self, sealed: bytes, *, info: bytes) -> bytes:
        """Opens a sealed message.

        Raises:
            UnsealFailed: it was sealed to another key or in another context, or was altered.
        """
        try:
            return _SUITE.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(self._lattice, self._curve), info=info)
        except (InvalidTag, ValueError) as error:
            raise UnsealFailed("sealed message", expected="one sealed to this key", got="another") from error
