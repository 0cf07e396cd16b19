"""`bank-node banks`."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json, warn
from bank_node.errors import Refused
from bank_node.home import AgentLock, Home

if TYPE_CHECKING:
    from bank_node.known_banks import KnownBanks


@click.command()
@click.option(
    "--toml",
    "as_toml",
    is_flag=True,
    help="Print the table [banks] for policy.toml, or the lines that it lacks.",
)
@click.option("--forget", metavar="NAME", help="Forget a bank that has enrolled anew; the agent must be stopped.")
@home_option
@json_option
@command_errors
def banks(as_toml: bool, forget: str | None, home: Home, as_json: bool) -> None:
    """List the banks that this one has met: name, fingerprint of the signing key, and how it is known.

    Until the fingerprints are compared, the service is trusted for who is who. Compare each with its bank by telephone
    or letter; then write the table, and only the banks in it are dealt a key.

    \b
    Example:
      bank-node banks
      bank-node banks --toml >> bank-node/policy.toml
      bank-node policy check
    """
    from bank_node.durable import Disk  # noqa: PLC0415  # `--help` answers without it
    from bank_node.known_banks import KnownBanks  # noqa: PLC0415
    from bank_node.policy_file import load_policy  # noqa: PLC0415

    known = KnownBanks(home.banks, Disk(), load_policy(home).settings.banks)
    if forget is not None:
        with AgentLock(home):
            if not known.forget(forget):
                raise Refused("banks", expected="a bank that was met", got=forget, advice="see `bank-node banks`")
        click.echo(f"{forget} is forgotten: the next roster that has it is believed, unless policy.toml has [banks]")
        return
    rows = _rows(home, known)
    if as_json:
        show_json(rows)
    elif as_toml:
        _show_toml(rows, known.listed)
    else:
        _show(rows)


def _rows(home: Home, known: KnownBanks) -> list[dict[str, Any]]:
    """This bank first, then those of the policy's table, then those that were only seen."""
    from bank_node.fingerprint import fingerprint  # noqa: PLC0415  # `--help` answers without it
    from bank_node.identity import read_record  # noqa: PLC0415

    record, listed, met = read_record(home), known.listed or {}, {bank.name: bank for bank in known.met()}
    own = {"name": record.name, "node": record.node, "fingerprint": fingerprint(record.signing_key), "known": "own"}
    rows: list[dict[str, Any]] = [own | {"first_seen_at_s": None}]
    for name in sorted(listed.keys() | met.keys(), key=lambda name: (name not in listed, name)):
        bank = met.get(name)
        if name == record.name:
            continue
        rows.append(
            {"name": name, "node": bank.node if bank else None,
             "fingerprint": listed.get(name) or (bank.fingerprint if bank else None),
             "known": "listed" if name in listed else "first sight",
             "first_seen_at_s": bank.first_seen_at_s if bank else None}
        )  # fmt: skip
    return rows


def _show(rows: list[dict[str, Any]]) -> None:
    from bank_node.fingerprint import grouped  # noqa: PLC0415  # `--help` answers without it

    how = {"own": "this bank: tell the others", "listed": "listed in policy.toml", "first sight": "NOT COMPARED"}
    for row in rows:
        at = row["first_seen_at_s"]
        seen = "" if at is None else f", first seen {dt.datetime.fromtimestamp(at, tz=dt.UTC):%Y-%m-%d}"
        click.echo(f"{row['name']}  {how[row['known']]}{seen}\n  {grouped(row['fingerprint'])}")


def _show_toml(rows: list[dict[str, Any]], listed: Mapping[str, str] | None) -> None:
    from bank_node.fingerprint import grouped  # noqa: PLC0415  # `--help` answers without it

    if listed is None:
        click.echo("[banks]")
    else:
        rows = [row for row in rows if row["name"] not in listed]
        these = "these lines belong into it" if rows else "with all of them"
        warn([f"policy.toml has a table [banks] already: {these}"])
    for row in rows:
        note = "  # not compared yet: do so by telephone" if row["known"] == "first sight" else ""
        click.echo(f"{json.dumps(row['name'])} = {json.dumps(grouped(row['fingerprint']))}{note}")
