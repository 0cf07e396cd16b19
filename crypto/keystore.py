"""Keys at rest: sealed under a master key that a passphrase (Argon2id, RFC 9106) or a key file opens.

The file holds the salt, the cost and a sealed check value, never the key; what is sealed is kept by the caller, in its
own files. AES-256-GCM-SIV would bear repeated nonces; ChaCha20-Poly1305 with a key of its own for every message does
not need to: each message's key is derived (HKDF) from the master key, the purpose and 32 random bytes.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from crypto.errors import KeyDestroyed, UnsealFailed, ValueOutOfBounds
from crypto.keystream import KEY_BYTES, derive_key

MIN_PASSPHRASE = 12
#: RFC 9106, section 4, second recommendation: 3 passes, 4 lanes, 64 MiB.
_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 65536
_MAX_MEMORY_KIB = 4 << 20
_MAGIC = b"CKSK"
_VERSION = 1
_PASSPHRASE, _KEY_FILE = 1, 2
_HEADER = struct.Struct(">4sHBIII16s")
_SALT_BYTES = 32
_NONCE = bytes(12)  # each key seals one message
_CHECK = b"this key opens the store"


class Keystore:
    """Seals and opens key material; never printed.

    Use `create` once, then `open`.
    """

    def __init__(self, master: bytes) -> None:
        self._master: bytes | None = master

    def __repr__(self) -> str:
        return "Keystore(…)"

    @classmethod
    def create(cls, path: Path, *, passphrase: str | None = None, key_file: Path | None = None) -> Keystore:
        """Makes a store, readable by its owner alone.

        Args:
            path: its file; must not exist.
            passphrase: at least 12 characters; or
            key_file: a file of at least 32 bytes that someone else guards; made, with random bytes, if it is missing.

        Raises:
            ValueOutOfBounds: a short passphrase or key file, or not exactly one of the two.
            FileExistsError: the store is there already.
        """
        kind = _kind(passphrase, key_file)
        if passphrase is not None and len(passphrase) < MIN_PASSPHRASE:
            raise ValueOutOfBounds(
                "passphrase", expected=f"at least {MIN_PASSPHRASE} characters", got=str(len(passphrase))
            )
        if key_file is not None and not key_file.exists():
            _write_new(key_file, os.urandom(KEY_BYTES))
        salt = os.urandom(16)
        header = _HEADER.pack(_MAGIC, _VERSION, kind, _ITERATIONS, _LANES, _MEMORY_KIB, salt)
        store = cls(_master(header, passphrase, key_file))
        _write_new(path, header + store.seal(_CHECK, purpose="check"))
        return store

    @classmethod
    def open(cls, path: Path, *, passphrase: str | None = None, key_file: Path | None = None) -> Keystore:
        """Opens a store.

        Raises:
            UnsealFailed: the wrong passphrase or key file, or a damaged store.
            ValueOutOfBounds: not exactly one of passphrase and key file.
            FileNotFoundError: no store, or no key file, is there.
        """
        kind = _kind(passphrase, key_file)
        data = path.read_bytes()
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise UnsealFailed(path.name, expected="a key store", got="another file")
        _, version, stored, iterations, lanes, memory, _salt = _HEADER.unpack(data[: _HEADER.size])
        if version != _VERSION or not (
            1 <= iterations <= 64 and 1 <= lanes <= 64 and 8 * lanes <= memory <= _MAX_MEMORY_KIB
        ):
            raise UnsealFailed(path.name, expected=f"a key store of version {_VERSION}", got="another")
        if stored != kind:
            names = {_PASSPHRASE: "a passphrase", _KEY_FILE: "a key file"}
            raise UnsealFailed(path.name, expected=names.get(stored, "another version"), got=names[kind])
        store = cls(_master(data[: _HEADER.size], passphrase, key_file))
        store.unseal(data[_HEADER.size :], purpose="check")
        return store

    def seal(self, plaintext: bytes, *, purpose: str) -> bytes:
        """Seals bytes for one purpose; opens under the same purpose only.

        Raises:
            KeyDestroyed: the store was closed.
        """
        salt = os.urandom(_SALT_BYTES)
        return salt + self._cipher(purpose, salt).encrypt(_NONCE, plaintext, purpose.encode())

    def unseal(self, sealed: bytes, *, purpose: str) -> bytes:
        """Opens what `seal` made.

        Raises:
            UnsealFailed: another key, another purpose, or altered bytes.
            KeyDestroyed: the store was closed.
        """
        salt, body = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
        try:
            return self._cipher(purpose, salt).decrypt(_NONCE, body, purpose.encode())
        except InvalidTag as error:
            raise UnsealFailed(
                purpose,
                expected="what this store sealed for this purpose",
                got="something else",
                advice="check the passphrase or the key file",
            ) from error

    def close(self) -> None:
        """Forgets the master key."""
        self._master = None

    def _cipher(self, purpose: str, salt: bytes) -> ChaCha20Poly1305:
        if self._master is None:
            raise KeyDestroyed("key store", expected="an open one", got="a closed one")
        return ChaCha20Poly1305(derive_key(self._master, b"keystore", purpose.encode(), salt))


def _kind(passphrase: str | None, key_file: Path | None) -> int:
    if (passphrase is None) == (key_file is None):
        raise ValueOutOfBounds(
            "key store", expected="a passphrase or a key file", got="both" if passphrase is not None else "neither"
        )
    return _PASSPHRASE if key_file is None else _KEY_FILE


def _master(header: bytes, passphrase: str | None, key_file: Path | None) -> bytes:
    _, _, _, iterations, lanes, memory, salt = _HEADER.unpack(header)
    if key_file is not None:
        secret = key_file.read_bytes()
        if len(secret) < KEY_BYTES:
            raise ValueOutOfBounds(key_file.name, expected=f"at least {KEY_BYTES} bytes", got=str(len(secret)))
        return derive_key(secret, b"key-file", header)
    assert passphrase is not None
    stretched = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory).derive(
        passphrase.encode()
    )
    return derive_key(stretched, b"passphrase", header)


def _write_new(path: Path, data: bytes) -> None:
    """Writes a file that must not exist yet; whole or not at all, 0600, flushed."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
