"""Data as banks have them: trained through where that makes sense, and to the same model; else a clear refusal."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from learning.algorithms import build
from learning.booster import to_booster
from learning.driver import run
from learning.errors import AggregateImplausible, ContributionRejected, DataRejected
from learning.gbdt_settings import GbdtSettings
from learning.logistic_settings import FedAvgSettings, LogisticSettings
from learning.query import to_fixed_point
from learning.schema import (
    BooleanFeature,
    CategoricalFeature,
    FeatureSchema,
    NumericFeature,
    Part,
    Split,
    features_of,
    prepare,
)

FEATURES = (
    NumericFeature(name="amount"), NumericFeature(name="risk"), BooleanFeature(name="abroad"),
    CategoricalFeature(name="channel", levels=("atm", "phone", "shop", "web")),
)  # fmt: skip
INPUTS = FeatureSchema(features=FEATURES, label="fraud")
TRAININGS = {
    "gbdt": (GbdtSettings, {"trees": 8, "max_depth": 3, "max_bin": 32}),
    "logistic": (LogisticSettings, {}),
    "fedavg": (FedAvgSettings, {"rounds": 3}),
}
every_training = pytest.mark.parametrize("kind", TRAININGS)


def rows(n=2400, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"amount": np.exp(rng.normal(3, 1, n)), "risk": rng.normal(size=n)})
    frame["abroad"] = rng.random(n) < 0.3
    frame["channel"] = rng.choice(["phone", "shop", "web"], n)
    frame.loc[rng.random(n) < 0.1, "risk"] = np.nan
    odds = -3 + frame["risk"].fillna(1.0) + 0.02 * frame["amount"] + 1.5 * (frame["channel"] == "web")
    frame["fraud"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    return frame


def train(tables, inputs=INPUTS, kind="gbdt", **changes):
    settings, usual = TRAININGS[kind]
    banks = [prepare(table, inputs) for table in tables]
    return run(build(settings(inputs=inputs, **(usual | changes))), banks)


def with_features(*more):
    return INPUTS.model_copy(update={"features": FEATURES + more})


# ---- trained through ----


@every_training
def test_an_empty_bank_changes_nothing(kind):
    frame = rows()
    halves = [frame.iloc[::2], frame.iloc[1::2]]
    assert train([*halves, frame.iloc[:0]], kind=kind).digest() == train(halves, kind=kind).digest()
    columns_alone = pd.DataFrame({name: [] for name in frame.columns})
    assert train([columns_alone, *halves], kind=kind).digest() == train(halves, kind=kind).digest()


def test_banks_without_fraud_or_with_nothing_else_count_like_any_rows():
    frame = rows()
    fraud, rest = frame[frame["fraud"] == 1], frame[frame["fraud"] == 0]
    pooled = train([frame]).digest()
    assert train([fraud, rest]).digest() == pooled
    assert train([fraud, rest.iloc[:700], rest.iloc[700:701], rest.iloc[701:]]).digest() == pooled


@pytest.mark.parametrize("value", [7.0, -3e38, 0, np.nan, None])
def test_a_constant_or_empty_column_is_never_used(value):
    frame = rows()
    plain = train([frame])
    for place in (0, len(FEATURES)):
        features = [*FEATURES]
        features.insert(place, NumericFeature(name="dull"))
        inputs = INPUTS.model_copy(update={"features": tuple(features)})
        padded = frame.assign(dull=value)
        model = train([padded.iloc[:900], padded.iloc[900:]], inputs)
        used = {model.inputs.names[k] for tree in model.trees for k in tree.feature[tree.left >= 0]}
        assert "dull" not in used
        expected = plain.margins(features_of(frame, INPUTS))
        np.testing.assert_array_equal(model.margins(features_of(padded, inputs)), expected)
        # Later rows may have other values there; still nothing depends on them.
        later = features_of(padded.assign(dull=np.linspace(-1e6, 1e6, len(frame))), inputs)
        np.testing.assert_array_equal(model.margins(later), expected)


def test_a_column_that_only_one_bank_lacks_is_missing_there_and_learned_from_the_others():
    frame = rows()
    at_home = frame.iloc[:1600].assign(risk=None)
    model = train([at_home, frame.iloc[1600:]])
    assert model.digest() == train([pd.concat([at_home.assign(risk=np.nan), frame.iloc[1600:]])]).digest()
    assert any(1 in tree.feature[tree.left >= 0] for tree in model.trees)


def test_a_level_that_no_bank_has_and_one_that_a_single_bank_has():
    frame = rows()
    frame.loc[frame.index[:40], "channel"] = "atm"
    model = train([frame.iloc[:40], frame.iloc[40:1000], frame.iloc[1000:]])
    assert model.digest() == train([frame]).digest()
    never = train([rows()])
    X = features_of(rows().assign(channel="atm"), INPUTS)
    splits = [
        (f, b) for t in never.trees for f, b in zip(t.feature[t.left >= 0], t.split_bin[t.left >= 0], strict=True)
    ]
    assert (3, 0) not in splits
    assert (3, 3) in splits
    assert np.isfinite(never.margins(X)).all()


def test_a_column_twice_under_two_names_gives_the_trees_of_one():
    frame = rows()
    model = train([frame.assign(twin=frame["amount"])], with_features(NumericFeature(name="twin")))
    assert [tree.to_dict() for tree in model.trees] == [tree.to_dict() for tree in train([frame]).trees]


def test_extreme_values_have_bins_like_any_others():
    frame = rows()
    wild = frame.copy()
    order = np.argsort(frame["amount"].to_numpy())
    wild.loc[wild.index[order[:5]], "amount"] = [-3.4e38, -1e30, -1e-45, 0.0, 1e-45]
    wild.loc[wild.index[order[-2:]], "amount"] = [1e30, 3.4e38]
    model = train([wild.iloc[::2], wild.iloc[1::2]])
    margins = model.margins(features_of(wild, INPUTS))
    assert np.isfinite(margins).all()
    plain = train([frame]).margins(features_of(frame, INPUTS))
    assert np.abs(margins - plain).mean() < 0.1


def test_a_tables_index_and_further_columns_do_not_matter():
    frame = rows()
    shuffled = pd.concat([frame.iloc[1200:], frame.iloc[:1200]])
    shuffled.index = pd.Index(np.zeros(len(frame), dtype=int))
    shuffled["note"] = "private"
    reordered = shuffled[["note", "fraud", "channel", "abroad", "risk", "amount"]]
    twice = pd.concat([reordered, reordered[["note"]]], axis=1)
    assert train([twice]).digest() == train([frame]).digest()


def test_a_bank_whose_rows_are_all_later_than_the_training_judges_only():
    frame = rows()
    frame["time"] = pd.date_range("2026-01-01", periods=len(frame), freq="1h")
    split = Split(validation_from="2026-02-15", test_from="2026-03-01")
    inputs = INPUTS.model_copy(update={"time": "time", "split": split})
    early, late = frame[frame["time"] < "2026-03-01"], frame[frame["time"] >= "2026-03-01"]
    assert (prepare(late, inputs).part == Part.TEST).all()
    assert train([early, late], inputs).digest() == train([frame], inputs).digest()
    assert train([early, late], inputs).volumes["test_rows"] == len(late)


def test_one_row_and_one_fraud_are_enough_for_a_model_that_says_the_rate():
    frame = rows().iloc[:2].assign(fraud=[0, 1], amount=1.0, risk=0.0, abroad=True, channel="web")
    model = train([frame.iloc[:1], frame.iloc[1:]])
    assert model.predict_proba(frame) == pytest.approx([0.5, 0.5])
    assert all(tree.nodes == 1 for tree in model.trees)
    assert to_booster(model).num_boosted_rounds() == 8


@pytest.mark.parametrize("base_score", [1e-9, 0.99999999, 1 - 1e-12])
def test_a_base_score_next_to_0_or_1_stays_within(base_score):
    model = train([rows()], base_score=base_score, trees=2)
    assert np.isfinite(model.base_margin)
    assert np.isfinite(model.margins(features_of(rows(), INPUTS))).all()


# ---- refused ----


@pytest.mark.parametrize(
    ("change", "column", "got"),
    [
        ({"channel": "boat"}, "channel", "2400 rows with another one"),
        ({"amount": "12,50"}, "amount", "2400 rows with other values"),
        ({"amount": np.inf}, "amount", "2400 infinite ones"),
        ({"risk": -np.inf}, "risk", "infinite"),
        ({"amount": 1e300}, "amount", "larger ones"),
        ({"abroad": "yes"}, "abroad", "others"),
        ({"abroad": 2}, "abroad", "others"),
        ({"fraud": np.nan}, "fraud", "2400 rows without"),
        ({"fraud": "confirmed"}, "fraud", "others"),
        ({"fraud": 3}, "fraud", "others"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_summed(change, column, got):
    with pytest.raises(DataRejected, match=got) as error:
        prepare(rows().assign(**change), INPUTS)
    assert error.value.column == column
    model = train([rows()], trees=1)
    if column != "fraud":
        with pytest.raises(DataRejected, match=got):
            model.predict_proba(rows().assign(**change))


def test_a_missing_or_doubled_column_is_refused_by_name():
    frame = rows()
    for column in ("amount", "abroad", "channel", "fraud"):
        for table in (frame.drop(columns=column), pd.concat([frame, frame[[column]]], axis=1)):
            with pytest.raises(DataRejected, match="one column of this name") as error:
                prepare(table, INPUTS)
            assert error.value.column == column


@every_training
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_over_all_banks_is_refused(kind, label):
    frame = rows().assign(fraud=label)
    with pytest.raises(AggregateImplausible, match="both classes over all banks") as error:
        train([frame.iloc[:1000], frame.iloc[1000:]], kind=kind)
    assert f"2400 rows, {2400 * label} of them frauds" in str(error.value)


@every_training
def test_no_rows_at_all_are_refused(kind):
    with pytest.raises(AggregateImplausible, match="got 0 rows"):
        train([rows().iloc[:0]] * 3, kind=kind)


@pytest.mark.parametrize("validation", ["none", "no fraud", "fraud only"])
def test_early_stopping_without_both_classes_to_validate_on_is_refused_and_does_not_end_in_one_tree(validation):
    frame = rows()
    frame["time"] = pd.date_range("2026-01-01", periods=len(frame), freq="1h")
    late = frame["time"] >= "2026-03-01"
    kept = {"none": ~late, "no fraud": ~late | (frame["fraud"] == 0), "fraud only": ~late | (frame["fraud"] == 1)}
    inputs = INPUTS.model_copy(update={"time": "time", "split": Split(validation_from="2026-03-01")})
    part = frame[kept[validation]]
    with pytest.raises(AggregateImplausible, match="validation rows of both classes"):
        train([part.iloc[::2], part.iloc[1::2]], inputs, early_stopping_rounds=3)
    assert len(train([part], inputs).trees) == 8


@every_training
def test_more_rows_than_the_plan_says_are_refused_with_what_to_do(kind):
    with pytest.raises(DataRejected, match="max_rows") as error:
        train([rows()], kind=kind, max_rows=1024)
    assert error.value.column == "rows"


@every_training
def test_weights_beyond_the_sums_bound_are_refused_by_their_column(kind):
    inputs = INPUTS.model_copy(update={"weight": "w"})
    frame = rows().assign(w=1e6)
    with pytest.raises(DataRejected, match="max_rows") as error:
        train([frame], inputs, kind=kind)
    assert error.value.column == "w"
    assert "divide" in str(error.value)
    model = train([frame.assign(w=1e3)], inputs, kind=kind)
    assert np.isfinite(model.predict_proba(frame)).all()


@every_training
def test_weights_too_small_to_count_are_refused_and_not_divided_by(kind):
    inputs = INPUTS.model_copy(update={"weight": "w"})
    with pytest.raises(AggregateImplausible, match="weight"):
        train([rows().assign(w=1e-20)], inputs, kind=kind)


@every_training
def test_frauds_may_weigh_more_than_all_rows(kind):
    model = train([rows()], kind=kind, scale_pos_weight=1e5)
    probability = model.predict_proba(rows())
    assert np.isfinite(probability).all()
    if kind != "fedavg":
        assert probability.mean() > 0.9
    settings, usual = TRAININGS[kind]
    with pytest.raises(ValidationError, match="max_rows"):
        settings(inputs=INPUTS, **usual, max_rows=1 << 32, scale_pos_weight=1e6)


def test_a_contribution_beyond_its_bound_never_leaves():
    """What a check has not foreseen still meets the last one: nothing wraps around in a sum."""
    frame, algorithm = rows(), build(GbdtSettings(inputs=INPUTS, trees=1, max_depth=1))
    small, large = prepare(frame.iloc[:50], INPUTS), prepare(frame, INPUTS)
    with pytest.raises(ContributionRejected, match="absolute values of at most") as error:
        run_with_other_rows_later(algorithm, small, large)
    assert error.value.query.startswith("gbdt.")


def run_with_other_rows_later(algorithm, first, later):
    """A bank that has other rows when the second sum is asked for than it had at the first."""
    state, data = algorithm.start(), first
    while (query := algorithm.next_query(state)) is not None:
        vector = to_fixed_point(query, algorithm.contribution(state, query, data, {}))
        state, data = algorithm.apply(state, query, vector * query.resolution), later
