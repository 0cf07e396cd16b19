"""Drift: the index by another way, exact sums over banks, bins, missing values, formats, bad plans."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from learning.algorithms import build
from learning.drift import DriftReport, DriftSettings, stability_index
from learning.driver import run
from learning.errors import AggregateImplausible, DataRejected
from learning.schema import BooleanFeature, CategoricalFeature, FeatureSchema, NumericFeature, Split, prepare

NOW = pd.Timestamp("2026-02-01")
SCHEMA = FeatureSchema(
    features=(
        NumericFeature(name="amount"), NumericFeature(name="balance"), NumericFeature(name="score"),
        NumericFeature(name="constant"), BooleanFeature(name="abroad"),
        CategoricalFeature(name="channel", levels=("phone", "shop", "web")),
    ),
    label="fraud", time="time", split=Split(test_from=NOW.to_pydatetime()),
)  # fmt: skip


def rows(n=20_000, seed=3, *, shift=0.0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"time": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 60, n), unit="D")})
    later = (frame["time"] >= NOW).to_numpy()
    frame["amount"] = np.exp(rng.normal(3, 1, n) + shift * later)
    frame["balance"] = 1e6 + rng.normal(0, 30, n)
    frame["score"] = 1 / (1 + np.exp(-rng.normal(-4, 1, n) - 2 * shift * later))
    frame["constant"] = 7.0
    frame["abroad"] = rng.random(n) < 0.1 + 0.3 * shift * later
    frame["channel"] = np.where(rng.random(n) < 0.5 + 0.3 * shift * later, "web", rng.choice(["shop", "phone"], n))
    frame["fraud"] = (rng.random(n) < 0.01).astype(int)
    frame.loc[(rng.random(n) < 0.05) | (later & (rng.random(n) < 0.3 * shift)), "balance"] = np.nan
    return frame


def banks_of(frame, banks=4):
    return [prepare(frame[np.arange(len(frame)) % banks == bank], SCHEMA) for bank in range(banks)]


def report(frame, banks=4, **settings):
    return run(build(DriftSettings(inputs=SCHEMA, **settings)), banks_of(frame, banks))


def naive_index(frame, column, bins):
    """With pandas' own cutting and counting."""
    if bins is None:
        group = frame[column].astype(str)
    else:
        group = pd.cut(frame[column], bins, right=False, labels=False).fillna(-1)
    counts = pd.crosstab(frame["time"] >= NOW, group).to_numpy() + 0.5
    reference, current = counts / counts.sum(axis=1, keepdims=True)
    return float(((current - reference) * np.log(current / reference)).sum())


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_indices_equal_a_naive_count_in_the_same_bins(shift):
    frame = rows(shift=shift)
    found = report(frame)
    for feature in found.features:
        numeric = feature.feature in {"amount", "balance", "score"}
        if feature.feature == "constant":
            assert feature.index == 0.0
            continue
        bins = [-np.inf, *feature.bins, np.inf] if numeric else None
        column = frame.astype({"amount": "float32", "balance": "float32", "score": "float32"})
        assert feature.index == pytest.approx(naive_index(column, feature.feature, bins), abs=2e-6)
    assert found.rows == (int((frame["time"] < NOW).sum()), int((frame["time"] >= NOW).sum()))
    assert sum(found.frauds) == frame["fraud"].sum()


def test_bins_are_tenths_of_the_reference_rows_even_far_from_zero():
    found = {feature.feature: feature for feature in report(rows()).features}
    for name, missing in (("amount", 0.0), ("balance", 0.05), ("score", 0.0)):
        parts = np.array(found[name].parts[0])
        assert len(found[name].bins) == 9
        assert parts[-1] == pytest.approx(missing, abs=0.01)
        assert np.abs(parts[:-1] - (1 - missing) / 10).max() < 0.015
        assert parts.sum() == pytest.approx(1.0)


def test_what_moved_is_found_and_what_did_not_is_not():
    same = report(rows())
    assert {feature.verdict for feature in same.features} == {"stable"}
    moved = {feature.feature: feature.verdict for feature in report(rows(shift=1.0)).features}
    assert moved["amount"] == moved["score"] == "shifted"
    assert moved["balance"] == "shifted"  # more of it is missing
    assert moved["constant"] == "stable"
    assert report(rows(shift=1.0)).worst().feature == "score"


def test_the_split_over_banks_does_not_matter():
    frame = rows()
    assert report(frame, banks=1).digest() == report(frame, banks=5).digest()


def test_given_edges_are_kept_and_save_the_sketch():
    edges = {"amount": (10.0, 20.0), "balance": (1e6,), "score": (0.1, 0.2, 0.5), "constant": (7.0,)}
    names = []
    plan = DriftSettings(inputs=SCHEMA, edges=edges)
    found = run(build(plan), banks_of(rows()), on_round=lambda query, state: names.append(query.name))
    assert names == ["drift.count"]
    by_name = {feature.feature: feature for feature in found.features}
    assert by_name["amount"].bins == edges["amount"]
    assert by_name["constant"].parts[0] == (0.0, 1.0, 0.0)
    frame = rows()
    below = (frame["amount"].astype(np.float32) < 10)[frame["time"] < NOW].mean()
    assert by_name["amount"].parts[0][0] == pytest.approx(below)


def test_the_index_of_known_counts():
    assert stability_index(np.array([[100, 100], [100, 100]])) == 0.0
    assert stability_index(np.array([[999_999, 0, 999_999], [999_999, 0, 999_999]])) == 0.0
    expected = (0.75 - 0.5) * np.log(1.5) + (0.25 - 0.5) * np.log(0.5)
    assert stability_index(np.array([[500_000, 500_000], [750_000, 250_000]])) == pytest.approx(expected, abs=2e-6)


def test_too_few_rows_are_refused_and_an_empty_bank_takes_part():
    frame = rows()
    with pytest.raises(AggregateImplausible, match="100 reference rows"):
        report(frame[frame["time"] < NOW])
    with_empty = [*banks_of(frame), prepare(frame.iloc[:0], SCHEMA)]
    assert run(build(DriftSettings(inputs=SCHEMA)), with_empty).digest() == report(frame).digest()


def test_a_column_that_is_missing_altogether_is_one_bin():
    found = report(rows().assign(balance=np.nan))
    balance = next(feature for feature in found.features if feature.feature == "balance")
    assert balance.index == 0.0
    assert balance.parts[0][-1] == 1.0


def test_negative_counts_are_refused():
    algorithm = build(DriftSettings(inputs=SCHEMA))
    query = algorithm.next_query(algorithm.start())
    with pytest.raises(AggregateImplausible, match="negative"):
        algorithm.apply(algorithm.start(), query, np.full(query.length, -1.0))


def test_the_document_round_trips_and_refuses_others():
    found = report(rows())
    assert DriftReport.from_bytes(found.to_bytes()) == found
    for bad in (b"", b"{}", b"[]", found.to_bytes()[:-4], found.to_bytes().replace(b'"drift"', b'"gbdt"')):
        with pytest.raises(DataRejected):
            DriftReport.from_bytes(bad)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"edges": {"amount": (2.0, 1.0)}}, "edges"), ({"edges": {"channel": (1.0,)}}, "edges"), ({"bins": 1}, "bins"),
        ({"inputs": SCHEMA.model_copy(update={"split": Split()})}, "inputs"), ({"window": 3}, "window"),
    ],
)  # fmt: skip
def test_contradictory_settings_name_the_field(change, field):
    with pytest.raises(ValidationError, match=field):
        DriftSettings(**({"inputs": SCHEMA} | change))
