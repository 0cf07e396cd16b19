"""Who this node is: its id at the service, and its signing key."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from bank_node.durable import Disk
from bank_node.errors import HomeUnusable
from bank_node.home import Home
from bank_node.vault import Vault
from protocol.ids import Name, NodeId, UUIDText
from protocol.signing import key_text

_PURPOSE = "identity"


class IdentityRecord(BaseModel):
    """The public part, in `identity.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: UUIDText
    name: Name
    consortium: Name
    signing_key: str


@dataclass(frozen=True)
class NodeIdentity:
    """Id and signing key.

    Attributes:
        node: the id that the service gave.
        name: the bank's name in the consortium.
        consortium: its name.
        signing_key: never printed.
    """

    node: NodeId
    name: str
    consortium: str
    signing_key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> str:
        """Base64 of the public signing key."""
        return key_text(self.signing_key.public_key())


def keep_pending_key(home: Home, disk: Disk, vault: Vault) -> Ed25519PrivateKey:
    """The signing key of an enrolment under way: made once, kept before the service hears of it."""
    if home.identity_sealed.exists():
        return _read_key(home, vault)
    key = Ed25519PrivateKey.generate()
    disk.write(home.identity_sealed, vault.seal(key.private_bytes_raw(), purpose=_PURPOSE))
    return key


def keep_identity(home: Home, disk: Disk, identity: NodeIdentity) -> None:
    """Keeps what the service has answered; from then on the node is enrolled."""
    record = IdentityRecord(
        node=identity.node, name=identity.name, consortium=identity.consortium, signing_key=identity.public_key
    )
    disk.write(home.identity, record.model_dump_json(indent=1).encode())


def read_record(home: Home) -> IdentityRecord:
    """The public part.

    Raises:
        HomeUnusable: not enrolled, or damaged.
    """
    home.require_enrolled()
    try:
        return IdentityRecord.model_validate_json(home.identity.read_bytes())
    except ValidationError as error:
        raise HomeUnusable(home.identity, "not an identity", "restore the home folder from a backup") from error


def read_identity(home: Home, vault: Vault) -> NodeIdentity:
    """The enrolled node's identity.

    Raises:
        HomeUnusable: not enrolled, damaged, or the key is another than the one that was enrolled.
    """
    record, key = read_record(home), _read_key(home, vault)
    identity = NodeIdentity(NodeId(record.node), record.name, record.consortium, key)
    if identity.public_key != record.signing_key:
        raise HomeUnusable(home.identity_sealed, "not the enrolled key", "restore the home folder from a backup")
    return identity


def _read_key(home: Home, vault: Vault) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(vault.unseal(home.identity_sealed.read_bytes(), purpose=_PURPOSE))
