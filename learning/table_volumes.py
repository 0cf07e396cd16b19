"""How much a risk table counts, from its document alone: for a model's card, without pandas or the tables in memory."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

#: Compressed bytes that are unpacked at a time.
_AT_ONCE = 1 << 16


def table_volumes(document: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Entity column → its transactions and confirmed frauds over all buckets.

    Withheld cells are not in it, nor frauds that were not confirmed yet; the plan's noise is.

    Args:
        document: of `learning.risk_table.RiskTable.to_bytes`.
    """
    entities = document["settings"]["entities"]
    counted = {what: _totals(document["tables"][what], document["settings"]) for what in ("transactions", "frauds")}
    return {
        entity: {what: totals[column] for what, totals in counted.items()} for column, entity in enumerate(entities)
    }


def _totals(packed: str, settings: Mapping[str, Any]) -> list[int]:
    """Sums by entity column. Every hash row counts everything once: the first is enough."""
    columns, rows, width = len(settings["entities"]), settings["hash_rows"], settings["width"]
    blocks = [
        sum(struct.unpack(f"<{width}i", block)) if number % rows == 0 else 0
        for number, block in enumerate(_blocks(packed, 4 * width))
    ]
    of_column = len(blocks) // columns
    return [sum(blocks[column * of_column : (column + 1) * of_column]) for column in range(columns)]


def _blocks(packed: str, size_bytes: int) -> Iterator[bytes]:
    """The blocks of a table one after the other; see `learning.entity_tables` for their order."""
    unpacking, waiting = zlib.decompressobj(), bytearray()
    data = base64.b64decode(packed, validate=True)
    for start in range(0, len(data), _AT_ONCE):
        waiting += unpacking.decompress(data[start : start + _AT_ONCE])
        while len(waiting) >= size_bytes:
            yield bytes(waiting[:size_bytes])
            del waiting[:size_bytes]
