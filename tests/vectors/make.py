"""Writes the known answers of the wire and of everything that is derived from seeds.

    python -m tests.vectors.make

All randomness comes from SHA-256 of names; production takes it from the operating system. What needs no secret of ours
(the arithmetic) is checked against other code by `tests/crypto`; these files only keep it from changing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import crypto
from crypto.ceremony import Ceremony
from crypto.committee_key import CommitteeKey
from crypto.common_polynomial import CommonPolynomial
from crypto.dealing import DealtPieces, _last_piece, commitment, encode_last, expand_piece, noise_key
from crypto.decryption_share import Decryptor
from crypto.encryption import Encryptor
from crypto.errors import CryptoError
from crypto.keys import SecretKey
from crypto.keystream import KeyStream
from crypto.parameters import RING_DEGREE
from crypto.ring import ring_of
from crypto.wire import Kind, write_message

FOLDER = Path(__file__).parent
COMMITTEE, THRESHOLD, DEALERS, VALUES, ROUND = 3, 2, 3, 5, 7
SPECS = [(30, 5, 5, 4, 40), (44, 5, 5, 3, 40), (44, 5, 5, 4, 40), (44, 9, 9, 7, 40), (40, 1000, 5, 4, 40),
         (30, 5, 5, 4, 55)]  # fmt: skip


def seed(name: str) -> bytes:
    """32 bytes named by a text."""
    return hashlib.sha256(f"known-answer/{name}".encode()).digest()


def polynomial(residues: Any) -> dict[str, Any]:
    """A polynomial as the README of this folder says."""
    words = np.asarray(residues, dtype="<u8")
    return {"first": [int(word) for word in words[:4]], "sha256": hashlib.sha256(words.tobytes()).hexdigest()}


class World:
    """A ceremony whose every secret is derived from a name."""

    def __init__(self) -> None:
        parameters = crypto.derive(crypto.ParameterSpec(44, DEALERS, COMMITTEE, THRESHOLD))
        self.banks = tuple(sorted(seed(f"bank {k}")[:16] for k in range(DEALERS)))
        self.ceremony = Ceremony(parameters, seed("training")[:16], self.banks, self.banks)
        self.round_id = crypto.RoundId(parameters, self.ceremony.training, ROUND, VALUES)
        self.secrets = {bank: SecretKey(parameters, _ternary(bank)) for bank in self.banks}
        self.seeds = {
            bank: [seed(f"piece {piece} of {bank.hex()}") for piece in range(parameters.pieces)] for bank in self.banks
        }
        self.last = {
            bank: _last_piece(self.ceremony, bank, self.secrets[bank], seeds[:-1]) for bank, seeds in self.seeds.items()
        }
        self.vectors = {
            bank: np.array([(-1) ** k * (1 << (8 * k + number)) for k in range(VALUES)], dtype=np.int64)
            for number, bank in enumerate(self.banks)
        }

    def committee_key(self, member: bytes) -> CommitteeKey:
        """What a member holds after the ceremony."""
        held = crypto.pieces_of(COMMITTEE, THRESHOLD, self.ceremony.member_index(member))
        last = self.ceremony.parameters.pieces - 1
        return CommitteeKey(
            self.ceremony, member,
            {
                bank: DealtPieces({piece: self.seeds[bank][piece] for piece in held},
                                  self.last[bank] if last in held else None)
                for bank in self.banks
            },
        )  # fmt: skip

    def contribution(self, bank: bytes) -> bytes:
        """A bank's contribution, with fresh noise from a name."""
        encryptor = Encryptor(self.ceremony, bank, self.secrets[bank])
        noise = KeyStream(seed(f"noise of {bank.hex()}"))
        zero = encryptor.encryption_of_zero(CommonPolynomial(self.round_id), noise, 0, VALUES + 1)
        encryptor._masks[self.round_id] = [ring_of(self.ceremony.parameters).rescale(zero)]
        return encryptor.encrypt(self.round_id, self.vectors[bank])

    def shares(self) -> dict[bytes, tuple[tuple[int, ...], bytes]]:
        """By member, the pieces that it is assigned and its share of the sum over all banks."""
        assigned = crypto.assign(COMMITTEE, THRESHOLD, available=range(COMMITTEE))
        found = {}
        for index, pieces in assigned.items():
            member = self.banks[index]
            decryptor = Decryptor(self.ceremony, member, self.committee_key(member))
            found[member] = pieces, decryptor.share(self.round_id, self.banks, pieces)
        return found


def _ternary(bank: bytes) -> np.ndarray[Any, np.dtype[np.int8]]:
    words = KeyStream(seed(f"secret of {bank.hex()}")).words(0, RING_DEGREE)
    return (words % np.uint64(3)).astype(np.int8) - np.int8(1)


def known_answers() -> dict[str, Any]:
    """The content of `crypto_v1.json`."""
    world = World()
    ceremony, round_id, bank = world.ceremony, world.round_id, world.banks[0]
    shares = world.shares()
    common = CommonPolynomial(round_id).chunk(0)
    smudging = world.committee_key(bank).smudging(round_id, world.banks, (1,)).residues(0, VALUES + 1)
    last = ceremony.parameters.pieces - 1
    return {
        "parameters": [_parameters(crypto.ParameterSpec(*spec)) for spec in SPECS],
        "ceremony": {
            "parameters": ceremony.parameters.id.hex(), "training": ceremony.training.hex(),
            "dealers and committee": [one.hex() for one in world.banks], "digest": ceremony.digest.hex(),
        },
        "common polynomial of round 7, chunk 0": [polynomial(residues) for residues in common],
        "piece 0 of the first bank": {
            "seed": world.seeds[bank][0].hex(),
            "commitment": commitment(ceremony, bank, 0, world.seeds[bank][0], b"").hex(),
            "residues": [polynomial(one) for one in expand_piece(ceremony, bank, 0, world.seeds[bank][0])],
        },
        "last piece of the first bank": {
            "seed": world.seeds[bank][last].hex(),
            "commitment": commitment(
                ceremony, bank, last, world.seeds[bank][last], encode_last(world.last[bank])
            ).hex(),
            "residues": [polynomial(one) for one in world.last[bank]],
        },
        "noise of piece 1": {
            "key": noise_key(ceremony, 1, {one: world.seeds[one][1] for one in world.banks}).hex(),
            "low words": [int(word) for word in smudging[0]], "high words": [int(word) for word in smudging[1]],
        },
        "contributions": [
            {"bank": one.hex(), "values": world.vectors[one].tolist(), "message": world.contribution(one).hex()}
            for one in world.banks
        ],
        "contributors' digest": crypto.contributors_digest(world.banks).hex(),
        "shares": [
            {"member": member.hex(), "pieces": list(pieces), "message": share.hex()}
            for member, (pieces, share) in shares.items()
        ],
        "sum": sum(world.vectors.values()).tolist(),
    }  # fmt: skip


def _parameters(spec: crypto.ParameterSpec) -> dict[str, Any]:
    found = crypto.derive(spec)
    names = ("sum_bits", "max_contributors", "committee_size", "threshold", "smudging_bits")
    return {name: getattr(spec, name) for name in names} | {
        "q0": found.q0, "q1": found.q1, "scale": found.scale, "residue_bytes": found.residue_bytes,
        "smudging_exponent": found.smudging_exponent, "error_limit": found.error_limit, "id": found.id.hex(),
    }  # fmt: skip


def bad_messages() -> list[dict[str, str]]:
    """The content of `crypto_v1_bad_messages.json`."""
    world = World()
    bank, (pieces, share) = world.banks[0], world.shares()[world.banks[0]]
    good = world.contribution(bank)
    too_large = (world.ceremony.parameters.q0).to_bytes(7, "little")
    body = bytearray(good[crypto.HEADER_BYTES :])
    count = VALUES + 1  # planes: 4 low bytes of every residue, 2 middle ones, the top one
    body[0:4], body[4 * count : 4 * count + 2], body[6 * count : 6 * count + 1] = (
        too_large[:4], too_large[4:6], too_large[6:]
    )  # fmt: skip
    made = [
        ("empty", "contribution", b""),
        ("no body", "contribution", good[: crypto.HEADER_BYTES]),
        ("last byte missing", "contribution", good[:-1]),
        ("one byte more", "contribution", good + b"\0"),
        ("another magic", "contribution", b"X" + good[1:]),
        ("version 2", "contribution", good[:4] + b"\0\2" + good[6:]),
        ("kind 3", "contribution", good[:6] + b"\0\3" + good[8:]),
        ("other parameters", "contribution", good[:8] + bytes(16) + good[24:]),
        ("another training", "contribution", good[:24] + bytes(16) + good[40:]),
        ("round 8", "contribution", good[:40] + b"\0\0\0\x08" + good[44:]),
        ("another sender", "contribution", good[:44] + bytes(16) + good[60:]),
        ("more values", "contribution", good[:60] + (VALUES + 1).to_bytes(8, "big") + good[68:]),
        ("contributors in a contribution", "contribution", good[:68] + bytes([1]) + good[69:]),
        ("pieces in a contribution", "contribution", good[:115] + b"\1" + good[116:]),
        ("a flipped bit of the body", "contribution", good[:-1] + bytes([good[-1] ^ 1])),
        ("a residue that is the prime", "contribution", write_message(world.round_id, Kind.CONTRIBUTION, bank, body)),
        ("a share as a contribution", "contribution", share),
        ("a contribution as a share", "share", good),
        ("another contributor set", "share", share[:68] + bytes([share[68] ^ 1]) + share[69:]),
        ("another piece", "share", share[:115] + bytes([share[115] ^ 1]) + share[116:]),
    ]
    return [
        {"name": name, "as": kind, "message": data.hex(), "error": refusal(world, kind, pieces, data)}
        for name, kind, data in made
    ]


def refusal(world: World, kind: str, pieces: tuple[int, ...], data: bytes) -> str:
    """The class of the error with which a message of the first bank is refused."""
    checks: dict[str, Callable[[], None]] = {
        "contribution": lambda: crypto.check_contribution(world.round_id, world.banks[0], data),
        "share": lambda: crypto.check_share(world.round_id, world.banks[0], world.banks, pieces, data),
    }
    try:
        checks[kind]()
    except CryptoError as error:
        return type(error).__name__
    return "accepted"


FILES: dict[str, Callable[[], Any]] = {"crypto_v1.json": known_answers, "crypto_v1_bad_messages.json": bad_messages}


def text_of(content: Any) -> str:
    """As it stands in the file."""
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    for name, make in FILES.items():
        (FOLDER / name).write_text(text_of(make()), encoding="utf-8")
