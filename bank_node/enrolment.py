"""Enrolment: keys are made on the node, and the service hears the public halves with a one-time token."""

from __future__ import annotations

import base64
from pathlib import Path

from pydantic import ValidationError

from bank_node.client import ServiceClient
from bank_node.durable import Disk
from bank_node.errors import HomeUnusable, SettingsInvalid, TokenMalformed
from bank_node.home import Home
from bank_node.identity import NodeIdentity, keep_identity, keep_pending_key, read_record
from bank_node.policy_file import POLICY_TEMPLATE
from bank_node.settings import NodeSettings, describe_invalid, load_settings, settings_toml
from bank_node.transport import HTTPTransport
from bank_node.vault import Vault
from crypto.member import SealingKey
from protocol.ids import NodeId, sha256_hex
from protocol.messages import MAX_TOKEN, MIN_TOKEN, EnrolmentRequest
from protocol.signing import key_text, sign_statement
from protocol.statements import Enrolment

_SEALING = "enrolment-sealing.sealed"


def enrol(
    home: Home, *, url: str, name: str, token: str, data: Path | None, dataset: str = "transactions"
) -> NodeIdentity:
    """Enrols this node. After a failure it may be run again: the same keys are used, so that the token still holds.

    Args:
        home: its folder; made if it is not there.
        url: the service's address.
        name: the bank's name, as the operator has invited it.
        token: one-time, from the operator.
        data: a first dataset, if there is one.
        dataset: its name in plans.

    Raises:
        HomeUnusable: the folder is enrolled already.
        TokenMalformed: the token can be none.
        NodeError: the settings are wrong, or the service refuses or does not answer.
    """
    _check_address(url, name)
    _check_token(token)
    if home.identity.exists():
        known = read_record(home)
        raise HomeUnusable(
            home.folder, f"already enrolled as {known.name!r} at {known.consortium!r}", "use another --home"
        )
    home.create()
    disk = Disk()
    settings = _settings(home, url=url, name=name, data=data, dataset=dataset)
    vault = Vault.open(home, settings, create=True)
    key = keep_pending_key(home, disk, vault)
    enrolment = Enrolment(
        name=name, signing_key=key_text(key.public_key()), sealing_key=_sealing_key(home, disk, vault),
        token_digest=sha256_hex(token.encode()),
    )  # fmt: skip
    transport = HTTPTransport(
        url, long_poll_s=settings.long_poll_s, connect_timeout_s=settings.connect_timeout_s, ca_file=settings.ca_file,
        certificate=settings.client_certificate,
    )  # fmt: skip
    with transport:
        client = ServiceClient(transport, node=None, key=key, give_up_after_s=0)
        reply = client.enrol(EnrolmentRequest(token=token, enrolment=sign_statement(key, enrolment)))
    # Not before the service has taken name and address: what a failed attempt has written would outlive it.
    if not home.settings.exists():
        resolved = None if data is None else data.absolute()
        disk.write(home.settings, settings_toml(url, name, resolved, dataset).encode())
    if not home.policy.exists():
        disk.write(home.policy, POLICY_TEMPLATE.encode())
    identity = NodeIdentity(NodeId(reply.node), name, reply.consortium, key)
    keep_identity(home, disk, identity)
    return identity


def _check_address(url: str, name: str) -> None:
    try:
        NodeSettings(url=url, name=name)
    except ValidationError as error:
        raise SettingsInvalid(describe_invalid("enrolment", error)) from error


def _check_token(token: str) -> None:
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN:
        raise TokenMalformed(expected=f"{MIN_TOKEN} to {MAX_TOKEN} characters", got=str(len(token)))


def _settings(home: Home, *, url: str, name: str, data: Path | None, dataset: str) -> NodeSettings:
    """The settings to enrol with. A `node.toml` that is there is the bank's own: it must say what is asked, or less.

    Raises:
        SettingsInvalid: file or environment say something else.
    """
    settings = load_settings(home, url=url, name=name)
    asked: dict[str, tuple[object, object]] = {"url": (settings.url, url), "name": (settings.name, name)}
    if data is not None and home.settings.exists():
        there = settings.datasets.get(dataset)
        asked[f"datasets.{dataset}.path"] = (None if there is None else home.folder / there.path, data.absolute())
    for setting, (found, wanted) in asked.items():
        if found != wanted:
            raise SettingsInvalid(
                f"{home.settings} or the environment: {setting}: expected {str(wanted)!r} as in the command, got "
                f"{'nothing' if found is None else repr(str(found))}; correct it, or remove the file and enrol again"
            )
    return settings


def _sealing_key(home: Home, disk: Disk, vault: Vault) -> str:
    path = home.folder / _SEALING
    if not path.exists():
        disk.write(path, vault.new_sealing_key().sealed)
    key: SealingKey = vault.sealing_key(path.read_bytes())
    return base64.b64encode(key.public_bytes).decode()
