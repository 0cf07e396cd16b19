"""Bin edges from summed counts against the quantiles of the pooled values, and rows in bins against a plain search."""

import bisect
import math

import numpy as np
import pandas as pd
import pytest

from learning import sketch
from learning.algorithms import build
from learning.binning import MAX_BINS, Bins
from learning.driver import run
from learning.gbdt_settings import GbdtSettings
from learning.schema import (
    BooleanFeature,
    CategoricalFeature,
    FeatureSchema,
    NumericFeature,
    Split,
    TimeFeature,
    prepare,
)

N = 8000


def columns(seed=1, n=N):
    """Values as banks have them, and worse."""
    rng = np.random.default_rng(seed)
    return {
        "normal": rng.normal(size=n),
        "amounts": np.exp(rng.normal(3, 2, n)).round(2),
        "wide": np.exp(rng.normal(0, 12, n)),
        "balance": 1e6 + rng.normal(0, 30, n),
        "far": 3e7 + rng.integers(0, 4000, n),
        "epoch": 1.7e9 + rng.uniform(0, 3e6, n),
        "cauchy": rng.standard_cauchy(n),
        "negative": -np.exp(rng.normal(0, 3, n)),
        "mostly zero": np.where(rng.random(n) < 0.95, 0.0, rng.exponential(100, n)),
        "two peaks": np.where(rng.random(n) < 0.5, -1e-3, 1e5) * (1 + 1e-3 * rng.normal(size=n)),
        "one outlier": np.append(rng.normal(100, 1e-2, n - 1), 1e30),
        "tiny": rng.normal(size=n) * 1e-40,
        "half missing": np.where(rng.random(n) < 0.5, np.nan, rng.gamma(2, 3, n)),
    }


def schema(names, **more):
    return FeatureSchema(features=tuple(NumericFeature(name=name) for name in names), label="fraud", **more)


def bins_of(frame, banks=3, inputs=None, **settings):
    """The public bins of a training over several banks, whose rows differ."""
    inputs = inputs or schema([name for name in frame.columns if name not in {"fraud", "time"}])
    frame = frame.assign(fraud=np.arange(len(frame)) % 2)
    parts = [prepare(frame.iloc[k::banks], inputs) for k in range(banks)]
    return run(build(GbdtSettings(inputs=inputs, trees=1, max_depth=1, **settings)), parts).bins


def excess(values, edges, bins):
    """By how many bins' worth of rows the edges miss the quantiles of the values.

    At every k of `bins`, the rows above the k-th quantile that are still in its bin: none if the edges were exact.
    """
    values = np.sort(values[~np.isnan(values)].astype(np.float32))
    wanted = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    ends = np.append(edges, np.float32(np.inf))[np.searchsorted(edges, wanted, side="right")]
    rows = np.searchsorted(values, ends, side="left") - np.searchsorted(values, wanted, side="right")
    return rows.max() / (len(values) / bins)


@pytest.mark.parametrize("max_bin", [4, 32, 64, 255])
def test_edges_miss_the_pooled_quantiles_by_at_most_half_a_bin(max_bin):
    """The bound of `sketch.sharpen`; most columns are within a quarter."""
    frame = pd.DataFrame(columns())
    bins = bins_of(frame, max_bin=max_bin)
    found = {
        name: excess(frame[name].to_numpy(), edges, max_bin)
        for name, edges in zip(frame.columns, bins.edges, strict=True)
    }
    assert max(found.values()) <= 0.5
    assert np.median(list(found.values())) <= 0.25
    for name, edges in zip(frame.columns, bins.edges, strict=True):
        assert (np.diff(edges) > 0).all()
        assert len(edges) <= max_bin - 1
        if name != "mostly zero":
            assert len(edges) >= 0.8 * (max_bin - 1)


def test_the_banks_do_not_matter_and_the_rows_order_does_not():
    frame = pd.DataFrame(columns())
    pooled = bins_of(frame, banks=1)
    for other in (bins_of(frame, banks=7), bins_of(frame.sample(frac=1.0, random_state=2), banks=2)):
        for mine, theirs in zip(pooled.edges, other.edges, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_few_distinct_values_have_a_bin_each():
    rng = np.random.default_rng(3)
    levels = {
        "hour": np.arange(24.0), "signs": np.array([-1.0, 0.0, 1.0]), "steps": np.array([0.1, 0.2, 0.3, 1e6, 1e6 + 1]),
        "codes": np.arange(200.0) * 7 + 10_000,
    }  # fmt: skip
    frame = pd.DataFrame({name: rng.choice(values, 5000) for name, values in levels.items()})
    bins = bins_of(frame, max_bin=255)
    X = np.column_stack([frame[name].to_numpy(dtype=np.float32) for name in frame])
    binned = bins.assign(X)
    for k, (name, values) in enumerate(levels.items()):
        there = np.unique(frame[name])
        assert len(bins.edges[k]) == len(there) - 1 == len(values) - 1
        pairs = {(value, number) for value, number in zip(frame[name], binned[:, k], strict=True)}
        assert sorted(pairs) == [(value, number) for number, value in enumerate(values)]


def test_constant_and_empty_columns_have_one_bin_and_the_missing_ones():
    frame = pd.DataFrame({"constant": np.full(500, 7.25), "empty": np.full(500, np.nan), "zero": np.zeros(500)})
    bins = bins_of(frame)
    assert [len(edges) for edges in bins.edges] == [0, 0, 0]
    assert bins.sizes.tolist() == [2, 2, 2]
    assert bins.assign(np.array([[9, 1, np.nan]], dtype=np.float32)).tolist() == [[0, 0, 1]]


def test_only_training_rows_say_where_the_bins_are():
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=3000)})
    frame["time"] = pd.date_range("2026-01-01", periods=3000, freq="1h")
    split = Split(validation_from="2026-03-01", test_from="2026-04-01")
    inputs = schema(["x"], time="time", split=split)
    one = bins_of(frame, inputs=inputs)
    frame.loc[frame["time"] >= "2026-03-01", "x"] = 1e6
    np.testing.assert_array_equal(one.edges[0], bins_of(frame, inputs=inputs).edges[0])
    frame.loc[10, "x"] = 1e6
    assert not np.array_equal(one.edges[0], bins_of(frame, inputs=inputs).edges[0])


def test_with_the_most_bins_a_number_still_fits_into_a_byte():
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=20_000)})
    bins = bins_of(frame, max_bin=MAX_BINS)
    assert bins.sizes.tolist() == [MAX_BINS]
    binned = bins.assign(np.append(frame["x"], np.nan).astype(np.float32)[:, None])
    assert (binned.min(), binned.max()) == (0, 255)
    assert len(np.unique(binned)) == 256
    with pytest.raises(ValueError, match="at most 256 a feature"):
        Bins.of(schema(["x"]), [np.arange(255, dtype=np.float32)])


def test_rows_fall_where_a_plain_search_puts_them():
    inputs = FeatureSchema(
        features=(
            NumericFeature(name="x"), BooleanFeature(name="flag"), CategoricalFeature(name="c", levels=("p", "q", "r")),
            TimeFeature(name="hour", column="time", part="hour"),
        ),
        label="fraud",
    )  # fmt: skip
    edges = [np.array([-1.5, 0.0, 2.25], dtype=np.float32), None, None, np.array([6.0, 18.0], dtype=np.float32)]
    bins = Bins.of(inputs, edges)
    assert bins.sizes.tolist() == [5, 3, 4, 4]
    assert bins.offsets.tolist() == [0, 5, 8, 12, 16]
    assert bins.total == 16
    assert bins.categorical.tolist() == [False, False, True, False]
    values = [-1e30, np.nextafter(np.float32(-1.5), np.float32(-9)), -1.5, -0.0, 0.0, 2.0, 2.25, 3e38]
    X = np.array([[value, 0, 1, 6.0] for value in values], dtype=np.float32)
    plain = [bisect.bisect_right([-1.5, 0.0, 2.25], float(value)) for value in X[:, 0]]
    assert bins.assign(X)[:, 0].tolist() == plain == [0, 0, 1, 2, 2, 2, 3, 3]
    assert bins.assign(np.full((1, 4), np.nan, dtype=np.float32)).tolist() == [[4, 2, 3, 3]]
    codes = np.array([[0, 0, 0, 5.99], [0, 1, 1, 6], [0, 1, 2, 18]], dtype=np.float32)
    assert bins.assign(codes)[:, 1:].tolist() == [[0, 0, 0], [1, 1, 1], [1, 2, 2]]


def test_the_integers_that_stand_for_numbers_are_in_their_order_and_turn_back():
    info = np.finfo(np.float32)
    values = np.concatenate([values.astype(np.float32) for values in columns(n=500).values()])
    values = values[~np.isnan(values)]
    special = np.array([info.max, -info.max, info.tiny, -info.tiny, 1e-45, -1e-45, 0.0, 1.0], dtype=np.float32)
    values = np.sort(np.append(values, special))
    keys = sketch.ordered(values)
    assert (np.diff(keys.astype(np.int64)) >= 0).all()
    assert ((np.diff(keys.astype(np.int64)) == 0) == (np.diff(values) == 0)).all()
    np.testing.assert_array_equal(sketch.from_ordered(keys), values)
    minus_zero = np.array([-0.0, 0.0], dtype=np.float32)
    assert len(np.unique(sketch.ordered(minus_zero))) == 1


@pytest.mark.parametrize("name", list(columns(n=10)))
def test_every_grid_counts_every_value_once(name):
    values = columns()[name].astype(np.float32)
    there = values[~np.isnan(values)]
    coarse = sketch.coarse_counts(values)
    assert coarse.sum() == len(values)
    assert coarse[-1] == len(values) - len(there)
    grid, expected = sketch.COARSE_GRID, coarse[:-1]
    for following in (sketch.refine(coarse[:-1], 8 * 64), None, None):
        np.testing.assert_array_equal(grid.counts(values), expected)
        grid = following or sketch.sharpen(grid, grid.counts(values), 64)
        starts = [int(start) for start in grid.starts]
        assert starts[0] == 0
        assert (np.diff(starts) > 0).all()
        places = [bisect.bisect_right(starts, int(key)) - 1 for key in sketch.ordered(there)]
        expected = np.bincount(places, minlength=grid.cells)


def test_a_sum_of_the_sketch_stays_small():
    """Cells beyond what was asked for come from rounding up to powers of two: at most twice, and the coarse ones."""
    for values in columns().values():
        counts = sketch.coarse_counts(values.astype(np.float32))[:-1]
        grid = sketch.refine(counts, 512)
        assert grid.cells <= 2 * 512 + 2 * np.count_nonzero(counts) + 1


def test_sums_that_the_sketch_takes_are_bounded():
    frame = pd.DataFrame(columns()).assign(fraud=np.arange(N) % 2)
    inputs = schema(columns(n=10))
    names = []
    algorithm = build(GbdtSettings(inputs=inputs, trees=1, max_depth=1, max_bin=255))
    run(algorithm, [prepare(frame, inputs)], on_round=lambda query, _: names.append(query.name))
    assert names[0] == "gbdt.count"
    assert 1 <= names.count("gbdt.refine") <= sketch.PASSES - 1
    assert math.isclose(len(names), names.count("gbdt.refine") + 3)
