"""Scoring a file of transactions: which model, which rows are alerts, and the file of scores."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bank_node.errors import DataUnfit, ModelUnfit, OutputUnusable
from bank_node.in_force import named, preferred
from bank_node.registry import ModelEntry, Registry
from learning.errors import DataRejected

if TYPE_CHECKING:
    import pandas as pd

    from bank_node.bank_data import RowsToScore
    from learning.models import ScoringModel


def choose_model(
    registry: Registry, name_or_digest: str | None, in_force: Mapping[str, str | None]
) -> tuple[ModelEntry, ScoringModel, str]:
    """The model that was asked for; without a name one that is in force, or else the newest that scores.

    Args:
        registry: the models of this node.
        name_or_digest: what was asked for.
        in_force: name → digest, None where it was withdrawn.

    Returns:
        Its entry, the model, and why it is this one.

    Raises:
        ModelUnfit: there is none, it was withdrawn, or it does not score.
    """
    from learning.models import OTHERS, READERS  # noqa: PLC0415  # pulls in pandas

    if name_or_digest is None:
        scoring = [entry for entry in registry.entries() if entry.kind in READERS]
        if not scoring:
            raise ModelUnfit(
                "score", expected="a released model that scores", got="none on this node",
                advice="`bank-node models` lists what there is; one comes with the next training",
            )  # fmt: skip
        entry, why = preferred(scoring, in_force)
    else:
        entry, why = registry.find(named(name_or_digest, registry.entries(), in_force)), "named by --model"
    if entry.kind not in READERS:
        raise ModelUnfit(
            f"model {entry.name!r}", expected=f"a model of a kind that scores: {', '.join(READERS)}",
            got=f"{entry.kind!r}: {OTHERS.get(entry.kind, 'unknown to this version')}",
            advice="name another with --model, see `bank-node models`",
        )  # fmt: skip
    return entry, READERS[entry.kind](registry.model_bytes(entry)), why


def others_in_force(registry: Registry, chosen: ModelEntry, in_force: Mapping[str, str | None]) -> list[ModelEntry]:
    """Models of other names that score and are in force as well, so that one may have been meant."""
    from learning.models import READERS  # noqa: PLC0415  # pulls in pandas

    return [
        entry
        for entry in registry.entries()
        if entry.name != chosen.name and entry.kind in READERS and in_force.get(entry.name) == entry.digest
    ]


def probabilities_of(model: ScoringModel, rows: RowsToScore, path: Path) -> NDArray[np.float64]:
    """Probability of fraud a row, float64 of shape (n,).

    Raises:
        DataUnfit: a column is not of its type.
    """
    try:
        return model.predict_proba(rows.frame)
    except DataRejected as error:
        raise DataUnfit(str(path), column=error.column, expected=error.expected, got=error.got) from error


def alert_threshold(probabilities: NDArray[np.float64], share: float) -> float:
    """The least score of the highest `share` of all rows, at least one; rows with the same score are alerts as well."""
    if not len(probabilities):
        return 1.0
    # Shares are typed in decimals: 0.07 * 100 is a little more than 7.
    alerts = max(1, int(np.floor(share * len(probabilities) + 1e-9)))
    return float(np.sort(probabilities)[-alerts])


def scores_table(
    probabilities: NDArray[np.float64], identifiers: pd.Series | None, threshold: float | None
) -> pd.DataFrame:
    """One line a row of the scored file, in its order."""
    import pandas as pd  # noqa: PLC0415  # not before there are scores

    table = pd.DataFrame(index=pd.RangeIndex(len(probabilities), name="row"))
    if identifiers is not None:
        table[identifiers.name] = identifiers.to_numpy()
    table["fraud_probability"] = probabilities
    if threshold is not None:
        table["alert"] = (probabilities >= threshold).astype(np.int8)
    return table


def require_writable(out: Path) -> None:
    """Checks, before the work, that its result can be written.

    Raises:
        OutputUnusable: it can not.
    """
    folder = out.parent
    if not folder.is_dir():
        raise OutputUnusable(f"--out {out}: there is no folder {folder}; make it, or name another file")
    target = out if out.exists() and not out.is_file() else folder
    if out.is_dir() or not os.access(target, os.W_OK):
        raise OutputUnusable(f"--out {out}: {target} can not be written to; change its owner, or name another file")


def require_none_of(out: Path, sources: Iterable[Path]) -> None:
    """Checks that what is written, whose place it takes, is none of the bank's own files.

    Raises:
        OutputUnusable: it is one of these.
    """
    for source in sources:
        if out.exists() and source.exists() and out.samefile(source):
            raise OutputUnusable(f"--out {out}: this is the bank's own file {source}; name another file")


def write_scores(table: Any, out: Path) -> None:
    """Writes the scores whole or not at all: whoever waits for the file never reads half of it.

    Raises:
        OutputUnusable: the disk is full, say; nothing is left behind.
    """
    if out.exists() and not out.is_file():  # a pipe
        table.to_csv(out)
        return
    out = out.resolve()
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        table.to_csv(temporary)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputUnusable(f"--out {out}: {error.strerror}; nothing was written") from error
