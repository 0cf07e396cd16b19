"""A bank's table against the schema: what is accepted, what each column's report says, which rows train and judge."""

import datetime as dt
import os
import random
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from learning.errors import DataRejected
from learning.schema import (
    BooleanFeature,
    CategoricalFeature,
    Feature,
    FeatureSchema,
    NumericFeature,
    Part,
    Split,
    TimeFeature,
    features_of,
    infer_schema,
    prepare,
    report,
)

NUMBER, FLAG = NumericFeature(name="x"), BooleanFeature(name="x")
LEVELS = CategoricalFeature(name="x", levels=("1", "2", "True", "web"))
HOUR = TimeFeature(name="hour", column="x", part="hour")


def read(feature, values, **more):
    """One feature's values by way of the whole check, as a list with None for missing."""
    frame = pd.DataFrame({"x": values})
    frame["fraud"] = np.arange(len(frame)) % 2
    data = prepare(frame, FeatureSchema(features=(feature,), label="fraud", **more))
    assert data.X.dtype == np.float32
    return [None if np.isnan(value) else float(value) for value in data.X[:, 0]]


def objects(*values):
    return pd.Series(values, dtype=object)


@pytest.mark.parametrize(
    ("feature", "values", "expected"),
    [
        (NUMBER, [1, 2], [1.0, 2.0]),
        (NUMBER, [1.5, np.nan], [1.5, None]),
        (NUMBER, pd.array([1, None], dtype="Int64"), [1.0, None]),
        (NUMBER, pd.array([0.25, None], dtype="Float64"), [0.25, None]),
        (NUMBER, [True, False], [1.0, 0.0]),
        (NUMBER, objects(None, None), [None, None]),
        (NUMBER, np.array([3e38, -3e38]), [float(np.float32(3e38)), -float(np.float32(3e38))]),
        (FLAG, [True, False], [1.0, 0.0]),
        (FLAG, objects(True, None, False), [1.0, None, 0.0]),
        (FLAG, objects(1, 0.0, np.nan), [1.0, 0.0, None]),
        (FLAG, pd.array([True, None], dtype="boolean"), [1.0, None]),
        (FLAG, [1.0, np.nan], [1.0, None]),
        (FLAG, pd.Categorical([True, False]), [1.0, 0.0]),
        (LEVELS, ["web", None], [3.0, None]),
        (LEVELS, [1, 2], [0.0, 1.0]),
        (LEVELS, [2.0, np.nan], [1.0, None]),
        (LEVELS, objects(1.0, "web", None), [0.0, 3.0, None]),
        (LEVELS, [True, True], [2.0, 2.0]),
        (LEVELS, pd.Categorical(["web", None, "2"]), [3.0, None, 1.0]),
        (LEVELS, pd.array([2, None], dtype="Int64"), [1.0, None]),
        (HOUR, ["2026-01-01T05:30:00", "2026-01-01 23:00:00+02:00"], [5.5, 21.0]),
        (HOUR, ["2026-01-01", "2026-01-01T12:15:00.250"], [0.0, 12.25]),
        (HOUR, pd.to_datetime(["2026-01-01T06:00"]), [6.0]),
        (HOUR, objects(dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 3, tzinfo=dt.UTC)), [0.0, 3.0]),
        *((feature, [], []) for feature in (NUMBER, FLAG, LEVELS, HOUR)),
    ],
)
def test_what_is_accepted_and_what_it_becomes(feature, values, expected):
    assert read(feature, values) == expected


@pytest.mark.parametrize(
    ("feature", "values", "got"),
    [
        (NUMBER, ["1", "2", None], r"got 2 rows with text \(the first in row 1\)$"),
        (NUMBER, objects(1.5, "two", None, "three"), r"got 2 rows with other values \(the first in row 2\)$"),
        (NUMBER, objects(None, Decimal("1.5")), r"got 1 rows with values of type decimal \(the first in row 2\)"),
        (NUMBER, [np.inf, 1.0, -np.inf], r"2 infinite ones \(the first in row 1\)"),
        (NUMBER, [1.0, 1e39], r"1 larger ones \(the first in row 2\)"),
        (NUMBER, [1 + 2j, 1], "complex"),
        (NUMBER, pd.to_datetime(["2026-01-01"]), "datetime"),
        (NUMBER, pd.to_timedelta([1], unit="s"), "timedelta"),
        (NUMBER, objects(10**400, 1, "x"), r"1 rows with text \(the first in row 3\)$"),
        (FLAG, objects(10**400, 1), "others"),
        (FLAG, ["yes", "no"], "others"),
        (FLAG, objects(True, "False"), r"1 others \(the first in row 2\)"),
        (FLAG, objects(1, None, 2), r"1 others \(the first in row 3\)"),
        (FLAG, [0.5, 1.0], "others"),
        (FLAG, [np.inf, 1.0], "infinite"),
        (LEVELS, ["web", None, "atm", "atm"], r"2 rows with another one \(the first in row 3\)"),
        (LEVELS, [1.5, np.inf, 1.0], "2 rows with another one"),
        (LEVELS, objects(["web"], ["web"]), "values of other kinds"),
        (HOUR, [1.7e9], "numbers"),
        (HOUR, objects(1, 2), "numbers"),
        (HOUR, ["2026-01-01", None], r"1 rows without \(the first in row 2\)"),
        (HOUR, [None, "2026-01-01", "yesterday"], r"other values \(the first in row 3\)"),
        (HOUR, ["01/02/2026"], "other values"),  # in January or in February?
        (HOUR, pd.to_timedelta([1], unit="s"), "other values"),
    ],
)
def test_what_is_refused_names_the_column_and_shows_no_value(feature, values, got):
    with pytest.raises(DataRejected, match=got) as error:
        read(feature, values)
    assert error.value.column == "x"
    assert str(error.value).startswith("column 'x': expected ")
    for secret in ("atm", "yes", "yesterday", "1.5", "01/02"):
        assert secret not in str(error.value)


def test_an_unknown_level_is_missing_where_the_schema_says_so():
    lenient = LEVELS.model_copy(update={"unknown": "missing"})
    assert read(lenient, ["web", "atm", None, "2"]) == [3.0, None, None, 1.0]


def test_the_parts_of_a_time_are_those_of_its_utc_clock():
    rng = random.Random(5)
    start = dt.datetime(2025, 12, 29, tzinfo=dt.UTC)
    times = [start + dt.timedelta(minutes=rng.randrange(60 * 24 * 400)) for _ in range(500)]
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    plain = {
        "hour": [t.hour + t.minute / 60 for t in times], "weekday": [t.weekday() for t in times],
        "weekend": [t.isoweekday() in {6, 7} for t in times], "night": [0 <= t.hour < 6 for t in times],
    }  # fmt: skip
    for part, expected in plain.items():
        feature = TimeFeature(name="t", column="x", part=part)
        found = read(feature, pd.Series([t.astimezone(zone) for t in times]))
        np.testing.assert_array_equal(np.float32(found), np.float32(expected))


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        ([0.0, np.nan], r"1 rows without \(the first in row 2\)"),
        (pd.array([True, None], dtype="boolean"), "1 rows without"),
        ([0, 2], "others"),
        ([0.5, 1.0], "others"),
        (["fraud", "ok"], "others"),
        (objects(True, "x"), "others"),
    ],
)
def test_a_label_is_there_and_is_0_or_1(labels, got):
    frame = pd.DataFrame({"x": [1.0, 2.0], "fraud": labels})
    with pytest.raises(DataRejected, match=got) as error:
        prepare(frame, FeatureSchema(features=(NUMBER,), label="fraud"))
    assert error.value.column == "fraud"


@pytest.mark.parametrize("labels", [[0, 1], [False, True], [0.0, 1.0], objects(False, True)])
def test_labels_in_any_form_are_bytes(labels):
    data = prepare(pd.DataFrame({"x": [1.0, 2.0], "fraud": labels}), FeatureSchema(features=(NUMBER,), label="fraud"))
    assert data.y.tolist() == [0, 1]
    assert data.y.dtype == np.uint8


@pytest.mark.parametrize("weight", [[1.0, 0.0], [1.0, -2.0], [1.0, np.nan], [1.0, np.inf], ["a", "b"], [1.0, 1e-60]])
def test_weights_are_positive_and_finite(weight):
    schema = FeatureSchema(features=(NUMBER,), label="fraud", weight="w")
    with pytest.raises(DataRejected) as error:
        prepare(pd.DataFrame({"x": [1.0, 2.0], "fraud": [0, 1], "w": weight}), schema)
    assert error.value.column == "w"


def test_columns_that_are_missing_or_twice_there_are_named():
    schema = FeatureSchema(features=(NUMBER, HOUR.model_copy(update={"column": "at"})), label="fraud", weight="w")
    frame = pd.DataFrame({"x": [1.0], "at": ["2026-01-01"], "fraud": [0], "w": [1.0], "unused": [object()]})
    assert prepare(frame, schema).rows == 1
    for column in ("x", "at", "fraud", "w"):
        with pytest.raises(DataRejected, match="got none") as error:
            prepare(frame.drop(columns=column), schema)
        assert error.value.column == column
        with pytest.raises(DataRejected, match="one column of this name, got 2") as error:
            prepare(pd.concat([frame, frame[[column]]], axis=1), schema)
        assert error.value.column == column
    twice_unused = pd.concat([frame, frame[["unused"]]], axis=1)
    assert prepare(twice_unused, schema).rows == 1
    assert features_of(frame[["x", "at"]], schema).shape == (1, 2)  # no label is needed to score


def test_the_report_says_by_column_what_is_there():
    frame = pd.DataFrame(
        {
            "amount": [1.0, 1.0, np.nan, 2.5, np.nan, 7.0], "abroad": objects(True, None, False, True, True, False),
            "channel": ["web", "web", None, "shop", "web", "atm"], "empty": np.nan, "constant": 3,
            "at": ["2026-01-01T05:00", "2026-01-02T05:00", "2026-01-03T06:00", *["2026-01-03"] * 3],
        }
    )  # fmt: skip
    schema = FeatureSchema(
        features=(
            NumericFeature(name="amount"), BooleanFeature(name="abroad"),
            CategoricalFeature(name="channel", levels=("phone", "shop", "web"), unknown="missing"),
            NumericFeature(name="empty"), NumericFeature(name="constant"),
            TimeFeature(name="hour", column="at", part="hour"),
        ),
        label="fraud",
    )  # fmt: skip
    found = [(line.column, line.kind, line.missing, line.distinct) for line in report(frame, schema)]
    assert found == [
        ("amount", "numeric", 2, 3), ("abroad", "boolean", 1, 2), ("channel", "categorical", 2, 2),
        ("empty", "numeric", 6, 0), ("constant", "numeric", 0, 1), ("hour", "time", 0, 3),
    ]  # fmt: skip
    with pytest.raises(DataRejected, match="'channel'"):
        report(frame, schema.model_copy(update={"features": (CategoricalFeature(name="channel", levels=("web",)),)}))


def test_a_split_by_time_parts_the_rows_at_its_moments():
    schema = FeatureSchema(
        features=(NUMBER,), label="fraud", time="at",
        split=Split(validation_from="2026-02-01", test_from="2026-03-01T00:00:00+01:00"),
    )  # fmt: skip
    moments = [
        "2026-01-31T23:59:59.999", "2026-02-01", "2026-02-28T22:59:59", "2026-02-28T23:00:00", "2026-03-01",
        "2027-01-01",
    ]  # fmt: skip
    frame = pd.DataFrame({"x": 0.0, "fraud": 0, "at": moments})
    expected = [Part.TRAIN, Part.VALIDATION, Part.VALIDATION, Part.TEST, Part.TEST, Part.TEST]
    assert prepare(frame, schema).part.tolist() == expected
    only_test = schema.model_copy(update={"split": Split(test_from="2026-02-01")})
    assert prepare(frame, only_test).part.tolist() == [Part.TRAIN, *[Part.TEST] * 5]
    with pytest.raises(DataRejected, match="a time in every row"):
        prepare(frame.assign(at=[None, *moments[1:]]), schema)


def test_rows_whose_labels_come_too_late_for_the_next_part_are_in_none():
    split = Split(validation_from="2026-02-01", test_from="2026-03-01", label_delay_days=7)
    schema = FeatureSchema(features=(NUMBER,), label="fraud", time="at", split=split)
    moments = [
        "2026-01-24T23:59",
        "2026-01-25",
        "2026-01-31",
        "2026-02-01",
        "2026-02-21T23:59",
        "2026-02-22",
        "2026-03-01",
    ]
    late = Part.UNLABELLED
    expected = [Part.TRAIN, late, late, Part.VALIDATION, Part.VALIDATION, late, Part.TEST]
    assert prepare(pd.DataFrame({"x": 0.0, "fraud": 0, "at": moments}), schema).part.tolist() == expected


def test_a_label_delay_needs_a_split_by_time():
    with pytest.raises(ValidationError, match="label_delay_days needs"):
        Split(test_share=0.2, label_delay_days=7)


def test_a_split_by_share_follows_the_public_seed():
    frame = pd.DataFrame({"x": np.zeros(20_000), "fraud": 0})

    def parts(**split):
        return prepare(frame, FeatureSchema(features=(NUMBER,), label="fraud", split=Split(**split))).part

    part = parts(validation_share=0.2, test_share=0.1, seed=4)
    shares = np.bincount(part, minlength=3) / len(part)
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.015)
    np.testing.assert_array_equal(part, parts(validation_share=0.2, test_share=0.1, seed=4))
    assert (part != parts(validation_share=0.2, test_share=0.1, seed=5)).mean() > 0.3
    # The same rows test, whatever part of the others validates.
    np.testing.assert_array_equal(part == Part.TEST, parts(test_share=0.1, seed=4) == Part.TEST)
    assert set(parts()) == {Part.TRAIN}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": ()}, "features"),
        ({"features": (NUMBER, FLAG)}, "'x' is named twice"),
        ({"label": "x"}, "is a feature as well"),
        ({"weight": "x"}, "is a feature as well"),
        ({"split": {"test_from": "2026-01-01"}}, "needs the schema's time column"),
        ({"split": {"test_share": 0.6, "validation_share": 0.4}}, "together must be below 1"),
        ({"time": "t", "split": {"test_from": "2026-01-01", "test_share": 0.1}}, "not both"),
        ({"time": "t", "split": {"validation_from": "2026-02-01", "test_from": "2026-01-01"}}, "must be before"),
        ({"features": ({"kind": "categorical", "name": "c", "levels": ("a", "a")},)}, "must be distinct"),
        ({"features": ({"kind": "categorical", "name": "c", "levels": ()},)}, "levels"),
        ({"features": ({"kind": "numeric", "name": "c", "low": 2, "high": 2},)}, "low must be below high"),
        ({"features": ({"kind": "text", "name": "c"},)}, "kind"),
        ({"features": ({"kind": "numeric", "name": ""},)}, "name"),
        ({"unheard": 1}, "unheard"),
        ({"version": 2}, "version"),
    ],
)
def test_a_schema_that_makes_no_sense_says_where(change, said):
    with pytest.raises(ValidationError, match=said):
        FeatureSchema.model_validate({"features": (NUMBER.model_dump(),), "label": "fraud", **change})


def test_a_schema_survives_json_and_names_its_columns_once():
    schema = FeatureSchema(
        features=(NUMBER, LEVELS.model_copy(update={"name": "c"}), HOUR.model_copy(update={"column": "at"})),
        label="fraud", weight="w", time="at", split=Split(test_from="2026-02-01"),
    )  # fmt: skip
    assert FeatureSchema.model_validate_json(schema.model_dump_json()) == schema
    assert schema.names == ("x", "c", "hour")
    assert schema.columns == ("x", "c", "at", "fraud", "w")
    assert TypeAdapter(Feature).validate_python({"kind": "boolean", "name": "b"}) == BooleanFeature(name="b")


def test_a_first_draft_of_a_schema_takes_what_it_can_use():
    frame = pd.DataFrame(
        {
            "id": [f"t{number}" for number in range(300)], "amount": np.arange(300.0),
            "abroad": np.arange(300) % 2 == 0,
            "channel": ["web", "shop", None] * 100, "at": pd.date_range("2026-01-01", periods=300), "nothing": None,
            "card": np.arange(300), "fraud": np.arange(300) % 2,
        }
    )  # fmt: skip
    schema = infer_schema(frame, label="fraud", exclude=("card",), time="at", split=Split(test_from="2026-06-01"))
    assert schema.features == (
        NumericFeature(name="amount"), BooleanFeature(name="abroad"),
        CategoricalFeature(name="channel", levels=("shop", "web")),
    )  # fmt: skip
    assert prepare(frame, schema).X.shape == (300, 3)
    with pytest.raises(DataRejected, match="'verdict'"):
        infer_schema(frame, label="verdict")
    with pytest.raises(DataRejected, match="at least one usable feature"):
        infer_schema(frame[["id", "fraud"]], label="fraud")
    listed = frame.assign(channel=[["web"], *frame["channel"][1:]])
    with pytest.raises(DataRejected, match=r"'channel'.*row 1"):
        infer_schema(listed, label="fraud")


def test_randomness_is_handed_through():
    frame = pd.DataFrame({"x": [1.0], "fraud": [0]})
    assert (
        prepare(frame, FeatureSchema(features=(NUMBER,), label="fraud"), randbytes=os.urandom).randbytes is os.urandom
    )
