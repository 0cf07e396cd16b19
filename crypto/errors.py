"""Everything that this package refuses, as types with what was expected and what came instead.

No message, attribute or repr of these ever holds a key, a plaintext or a sum.
"""

from __future__ import annotations


class CryptoError(Exception):
    """Base of all errors of this package.

    Attributes:
        where: what was being read or made.
        expected: what would have been accepted.
        got: what came instead.
    """

    def __init__(self, where: str, *, expected: str, got: str, advice: str = "") -> None:
        self.where, self.expected, self.got, self.advice = where, expected, got, advice
        super().__init__(f"{where}: expected {expected}, got {got}{'; ' + advice if advice else ''}")


class ParameterError(CryptoError):
    """Parameters that cannot be had: insecure, or not precise enough."""


class ValueOutOfBounds(CryptoError):
    """A vector that must not be encrypted: NaN, infinity, beyond the bound, wrong shape or dtype."""


class MalformedMessage(CryptoError):
    """Bytes that are not a message of this format: truncated, oversized, another version, a residue too large."""


class WrongParameters(CryptoError):
    """A message made under other parameters."""


class WrongRound(CryptoError):
    """A message of another training, round, query length or contributor set."""


class DigestMismatch(CryptoError):
    """A message whose body is not the one that its header names."""


class PiecesNotCovered(CryptoError):
    """The shares at hand do not cover every piece exactly once."""


class CheckFailed(CryptoError):
    """The opened sum is not one: a share is wrong or corrupted, or a contribution is.

    Attributes:
        chunk: first chunk in which it was noticed.
    """

    def __init__(self, where: str, *, expected: str, got: str, chunk: int, advice: str = "") -> None:
        self.chunk = chunk
        super().__init__(where, expected=expected, got=got, advice=advice)


class DealInvalid(CryptoError):
    """A dealt key that its holders must not use.

    Attributes:
        dealer: index of the bank that dealt it, in the order of the ceremony.
    """

    def __init__(self, where: str, *, expected: str, got: str, dealer: int, advice: str = "") -> None:
        self.dealer = dealer
        super().__init__(where, expected=expected, got=got, advice=advice)


class NotHeld(CryptoError):
    """A piece that this member does not hold."""


class SecondContributorSet(CryptoError):
    """A second contributor set for a round that was answered: both together would open their difference."""


class SecondContribution(CryptoError):
    """Another contribution to a round to which one was made."""


class RecordCorrupted(CryptoError):
    """A record of answers that is damaged before its end: nothing must be answered on its word."""


class RecordInUse(CryptoError):
    """A record of answers that another process has open."""


class UnsealFailed(CryptoError):
    """A sealed message or file that does not open: wrong key or passphrase, or altered."""


class SignatureInvalid(CryptoError):
    """A signature that does not verify."""


class KeyDestroyed(CryptoError):
    """A key that was destroyed."""
