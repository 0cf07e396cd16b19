"""What a bank's side of gradient-boosted trees takes beside its rows and the histograms, in bytes a cell.

    python -m benchmarks.bank_memory --rows 200000 --columns 30 --bins 64 --json -

A cell is one value of the rows, float32 and in memory before the training begins. NumPy's and Python's allocations are
traced from then on; of the peak within each kind of sum the histograms are taken off: the vector that the bank
contributes, and the parents' sums that it has received. `plain` is a training of the defaults on rows that all train,
`fullest` one with row weights, frauds weighted, sampled rows, and validation rows that could stop it early. `resident`
is what a fresh process held at most beside the rows (VmHWM), histograms and the public step included: allocations that
are not traced would show there, with a million rows best.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine, write_json
from learning.driver import run
from learning.gbdt import GbdtState, GradientBoosting
from learning.gbdt_settings import GbdtSettings
from learning.query import LocalCache, from_fixed_point, to_fixed_point
from learning.schema import Dataset, FeatureSchema, NumericFeature, Part, Split


def simulated(rows: int, columns: int, *, full: bool) -> Dataset:
    """A bank's rows: normal numbers, some missing; all train, or a tenth validates and a tenth tests."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((rows, columns), dtype=np.float32)
    X[rng.integers(0, rows, rows // 10), 0] = np.nan
    y = (np.nan_to_num(X[:, 0]) + 0.8 * X[:, 1] * X[:, -1] + rng.standard_normal(rows) > 2).astype(np.uint8)
    parts = [Part.TRAIN] * 8 + [Part.VALIDATION, Part.TEST] if full else [Part.TRAIN]
    part = rng.choice(np.array(parts, dtype=np.uint8), rows)
    return Dataset(X=X, y=y, weight=rng.gamma(2.0, 0.5, rows) + 0.01 if full else None, part=part)


def algorithm_for(columns: int, *, bins: int, trees: int, depth: int, full: bool) -> GradientBoosting:
    """The training; `full` asks for everything that takes memory by the row."""
    features = tuple(NumericFeature(name=f"f{k}") for k in range(columns))
    inputs = FeatureSchema(
        features=features, label="fraud", weight="weight" if full else None,
        split=Split(validation_share=0.1, test_share=0.1) if full else Split(),
    )  # fmt: skip
    more: dict[str, Any] = {"subsample": 0.9, "scale_pos_weight": 500.0, "early_stopping_rounds": trees} if full else {}
    return GradientBoosting(GbdtSettings(inputs=inputs, trees=trees, max_depth=depth, max_bin=bins, **more))


def bytes_per_cell(algorithm: GradientBoosting, data: Dataset) -> dict[str, float]:
    """The traced peak of one bank's contributions without the histograms, by kind of sum, in bytes a cell."""
    peaks: dict[str, float] = defaultdict(float)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for kind, state, contribute in _sums(algorithm, data):
            tracemalloc.reset_peak()
            vector_bytes = contribute()
            histograms = vector_bytes + _held_histograms(state)
            extra = tracemalloc.get_traced_memory()[1] - before - histograms
            peaks[kind] = max(peaks[kind], extra / data.X.size)
    finally:
        tracemalloc.stop()
    return {kind: round(peak, 3) for kind, peak in peaks.items()} | {"peak": round(max(peaks.values()), 3)}


def _sums(algorithm: GradientBoosting, data: Dataset) -> Iterator[tuple[str, GbdtState, Callable[[], int]]]:
    """Every sum of a training of one bank; the bank's part is made when the caller asks for it."""
    cache: LocalCache = {}
    state = algorithm.start()
    while (query := algorithm.next_query(state)) is not None:
        made: list[Any] = []

        def contribute() -> int:
            made.append(algorithm.contribution(state, query, data, cache))  # noqa: B023  # called in this turn
            return int(made[0].nbytes)  # noqa: B023

        level = query.public.get("level")
        yield query.name if level is None else f"{query.name}, {'root' if level == 0 else 'deeper'}", state, contribute
        state = algorithm.apply(state, query, from_fixed_point(query, to_fixed_point(query, made.pop())))


def _held_histograms(state: GbdtState) -> int:
    """Bytes of the parents' histograms; some are views of a whole level's, which then is what is held."""
    if state.growing is None:
        return 0
    held = [sums if sums.base is None else sums.base for sums in state.growing.histograms.values()]
    return sum({id(sums): sums.nbytes for sums in held}.values())


def resident_bytes_per_cell(algorithm: GradientBoosting, data: Dataset) -> float:
    """What this process holds at most during the training beside what it held before, in bytes a cell."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = _status("VmRSS")
    run(algorithm, [data])
    return round((_status("VmHWM") - before) / data.X.size, 3)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def prepared(
    *, rows: int, columns: int, bins: int, trees: int, depth: int, full: bool
) -> tuple[GradientBoosting, Dataset]:  # fmt: skip
    """The training and the rows, after a short training of them: what is compiled for their types is not measured."""
    data = simulated(rows, columns, full=full)
    run(algorithm_for(columns, bins=bins, trees=2, depth=depth, full=full), [data])
    return algorithm_for(columns, bins=bins, trees=trees, depth=depth, full=full), data


def measure(*, rows: int, columns: int, bins: int, trees: int, depth: int, full: bool = False) -> dict[str, float]:
    """Traced bytes a cell of one bank, by kind of sum; `peak` is the largest."""
    return bytes_per_cell(*prepared(rows=rows, columns=columns, bins=bins, trees=trees, depth=depth, full=full))


def _resident(sizes: dict[str, int], full: bool) -> float:
    return resident_bytes_per_cell(*prepared(**sizes, full=full))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 200_000), ("columns", 30), ("bins", 64), ("trees", 100), ("depth", 6)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", default="-", metavar="FILE", help="where the JSON goes; - for standard output")
    given = vars(parser.parse_args())
    target = given.pop("json")
    result: dict[str, Any] = dict(given)
    for name, full in (("plain", False), ("fullest", True)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            resident = pool.apply(_resident, (given, full))
        result[name] = measure(**given, full=full) | {"resident": resident}
    result["bank_extra_bytes_per_cell"] = max(result[name]["peak"] for name in ("plain", "fullest"))
    write_json(result | {"machine": machine()}, target)


if __name__ == "__main__":
    main()
