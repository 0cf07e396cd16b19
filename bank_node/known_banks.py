"""Who is who: the banks that this bank has met on rosters, with their keys, so that no service can put itself in the
place of one of them.

Where the policy has a table of banks, it alone decides. Elsewhere a bank is trusted at first sight, remembered, and
refused under any other key, name or id from then on, as SSH does with hosts.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from bank_node.durable import Disk
from bank_node.errors import HomeUnusable, RosterChanged, UnlistedBank
from bank_node.fingerprint import fingerprint, grouped
from bank_node.identity import NodeIdentity
from protocol.ids import Name, UUIDText
from protocol.roster import Member, Roster
from protocol.statements import Base64Text

log = structlog.get_logger("bank_node.known_banks")


class KnownBank(BaseModel):
    """A bank as it stood on the first roster that had it.

    Attributes:
        node: its id at the service.
        name: its name.
        signing_key: base64 of its public signing key.
        training: where it was first seen.
        first_seen_at_s: seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: UUIDText
    name: Name
    signing_key: Base64Text
    training: UUIDText
    first_seen_at_s: float

    @property
    def fingerprint(self) -> str:
        """Of its signing key."""
        return fingerprint(self.signing_key)

    @property
    def _own(self) -> tuple[str, str, bytes]:
        return self.node, self.name, base64.b64decode(self.signing_key)

    def is_same(self, other: KnownBank) -> bool:
        """Whether id, name and key are the same."""
        return self._own == other._own

    def conflicts(self, other: KnownBank) -> bool:
        """Whether some of them are the same and some are not."""
        same = [mine == others for mine, others in zip(self._own, other._own, strict=True)]
        return any(same) and not all(same)

    def __str__(self) -> str:
        return f"{self.name} (node {self.node}, fingerprint {grouped(self.fingerprint)})"


class _Book(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    banks: tuple[KnownBank, ...] = ()


class KnownBanks:
    """The banks that this one has met.

    Args:
        path: their file.
        disk: how files are changed.
        listed: the policy's table, name → fingerprint; None without one.
    """

    def __init__(self, path: Path, disk: Disk, listed: Mapping[str, str] | None) -> None:
        self._path, self._disk, self.listed = path, disk, listed

    def met(self) -> tuple[KnownBank, ...]:
        """Every bank seen on a roster, by name.

        Raises:
            HomeUnusable: the file is damaged.
        """
        try:
            return _Book.model_validate_json(self._path.read_bytes()).banks
        except FileNotFoundError:
            return ()
        except ValidationError as error:
            raise HomeUnusable(self._path, "not a list of banks", "restore the home folder from a backup") from error

    def unlisted(self) -> tuple[str, ...]:
        """Names of the banks for whose keys there is nobody's word but the service's."""
        return tuple(bank.name for bank in self.met() if bank.name not in (self.listed or {}))

    def check(self, roster: Roster, own: NodeIdentity) -> None:
        """Checks that everybody on a roster is who this bank takes them for.

        Raises:
            UnlistedBank: the policy's table has not this bank, or another key for it.
            RosterChanged: without a table: a known bank under another key, id or name.
        """
        where = f"roster of training {roster.training}"
        for bank in _others(roster, own, now_s=0.0):
            if self.listed is not None:
                self._check_listed(where, bank, self.listed)
            else:
                self._check_met(where, bank)

    def remember(self, roster: Roster, own: NodeIdentity, *, now_s: float) -> None:
        """Writes down who is on a roster that was checked, durably; new ones are logged."""
        met, new = list(self.met()), []
        for bank in _others(roster, own, now_s=now_s):
            if not any(bank.is_same(known) for known in met):
                # Under a table a bank may have a new key: what was known of it before no longer holds.
                met = [known for known in met if not bank.conflicts(known)]
                new.append(bank)
        if not new:
            return
        self._write([*met, *new])
        for bank in new:
            if bank.name not in (self.listed or {}):
                advice = "compare the fingerprint with the bank by telephone; see `bank-node banks`"
                log.warning("bank:trusted-at-first-sight", bank=str(bank), advice=advice)

    def forget(self, name: str) -> bool:
        """Forgets a bank that really has new keys; False if it was not known."""
        met = self.met()
        kept = [bank for bank in met if bank.name != name]
        if len(kept) < len(met):
            self._write(kept)
        return len(kept) < len(met)

    def _write(self, banks: list[KnownBank]) -> None:
        book = _Book(banks=tuple(sorted(banks, key=lambda bank: bank.name)))
        self._disk.write(self._path, book.model_dump_json(indent=1).encode())

    @staticmethod
    def _check_listed(where: str, bank: KnownBank, listed: Mapping[str, str]) -> None:
        expected = listed.get(bank.name)
        if expected is None:
            raise UnlistedBank(where, bank=bank.name, expected="banks of the policy's table [banks]", got=str(bank))
        if expected != bank.fingerprint:
            raise UnlistedBank(
                where, bank=bank.name, expected=f"{bank.name} with fingerprint {grouped(expected)}", got=str(bank)
            )

    def _check_met(self, where: str, bank: KnownBank) -> None:
        known = next((known for known in self.met() if known.conflicts(bank)), None)
        if known is not None:
            raise RosterChanged(
                where, expected=str(known), got=str(bank),
                advice=f"ask {bank.name} by telephone or letter: if it has not enrolled anew, the service lies about "
                f"who it is; if it has, and the fingerprint is right, `bank-node banks --forget {known.name}`",
            )  # fmt: skip


def _others(roster: Roster, own: NodeIdentity, *, now_s: float) -> list[KnownBank]:
    """Everybody on a roster but this bank, which has checked its own acceptance.

    Raises:
        RosterChanged: this bank stands there under another key.
    """
    found = []
    for member in roster.members:
        bank = _as_met(member, roster, now_s)
        if member.node != own.node:
            found.append(bank)
        elif bank.fingerprint != fingerprint(own.public_key):
            raise RosterChanged(
                f"roster of training {roster.training}", expected="this bank's own signing key", got="another"
            )
    return found


def _as_met(member: Member, roster: Roster, now_s: float) -> KnownBank:
    return KnownBank(
        node=member.node, name=member.name, signing_key=member.signing_key, training=roster.training,
        first_seen_at_s=now_s,
    )  # fmt: skip
