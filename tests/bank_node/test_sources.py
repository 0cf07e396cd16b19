"""The contract of every data source, and what each says about a table that does not fit."""

import gzip

import numpy as np
import pandas as pd
import pytest

from bank_node.errors import DataUnfit, SettingsInvalid
from bank_node.settings import DatasetSettings
from bank_node.sources import open_source

TABLE = pd.DataFrame(
    {
        "tx": [3, 1, 2],
        "when": pd.to_datetime(["2026-01-03T00:00:01", "2026-01-01T00:00:00", "2026-01-02T12:00:00"]),
        "amount": [1.5, np.nan, -2.25],
        "kind": ["card", None, "transfer"],
    }
)


def write_csv(path, frame):
    frame.to_csv(path, index=False)


def write_csv_gz(path, frame):
    with gzip.open(path, "wt") as file:
        frame.to_csv(file, index=False)


def write_tsv(path, frame):
    frame.to_csv(path, index=False, sep="\t")


def write_parquet(path, frame):
    frame.to_parquet(path, index=False)


def write_parquet_with_index(path, frame):
    frame.set_index("tx", drop=False).to_parquet(path)


SOURCES = {
    "t.csv": write_csv,
    "t.csv.gz": write_csv_gz,
    "t.tsv": write_tsv,
    "t.parquet": write_parquet,
    "t.PQ": write_parquet,
}


@pytest.fixture(params=SOURCES, ids=list(SOURCES))
def make_source(request, tmp_path):
    def make(frame=TABLE, **settings):
        SOURCES[request.param](tmp_path / request.param, frame)
        return open_source("transactions", DatasetSettings(path=request.param, **settings), tmp_path)

    return make


class TestContract:
    """What the node relies on, whatever the source."""

    def test_it_names_its_columns(self, make_source):
        assert list(make_source().describe().columns) == ["tx", "when", "amount", "kind"]

    def test_it_reads_the_wanted_columns_in_the_wanted_order_and_all_rows_in_their_own(self, make_source):
        frame = make_source().read(["amount", "tx"])
        assert list(frame.columns) == ["amount", "tx"]
        assert frame["tx"].tolist() == [3, 1, 2]
        assert frame.index.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(frame["amount"], TABLE["amount"])

    def test_it_parses_times(self, make_source):
        frame = make_source().read(["when"], times=["when"])
        assert str(frame["when"].dtype) == "datetime64[ns]"
        assert (frame["when"] == TABLE["when"]).all()

    def test_it_turns_times_with_a_zone_to_utc(self, make_source):
        zoned = TABLE.assign(when=TABLE["when"].dt.tz_localize("UTC").dt.tz_convert("Europe/Brussels"))
        frame = make_source(zoned).read(["when"], times=["when"])
        assert str(frame["when"].dtype) == "datetime64[ns]"
        assert (frame["when"] == TABLE["when"]).all()

    def test_it_renames(self, make_source):
        source = make_source(rename={"amount": "TX_AMOUNT"})
        assert "TX_AMOUNT" in source.describe().columns
        np.testing.assert_array_equal(source.read(["TX_AMOUNT"])["TX_AMOUNT"], TABLE["amount"])

    def test_a_missing_column_is_named_and_no_other(self, make_source):
        with pytest.raises(DataUnfit, match="terminal") as caught:
            make_source().read(["tx", "terminal"])
        assert caught.value.column == "terminal"
        assert not any(column in str(caught.value) for column in ("tx", "when", "amount", "kind"))

    def test_a_missing_column_to_rename_is_named(self, make_source):
        with pytest.raises(DataUnfit, match="nothing"):
            make_source(rename={"nothing": "x"}).read(["tx"])

    def test_two_columns_of_one_name_are_refused(self, make_source):
        with pytest.raises(SettingsInvalid, match="both called 'tx'"):
            make_source(rename={"amount": "tx"}).describe()

    def test_what_is_no_time_is_named_without_its_value(self, make_source):
        with pytest.raises(DataUnfit) as caught:
            make_source(TABLE.assign(kind=["2026-01-01", None, "transfer"])).read(["kind"], times=["kind"])
        assert caught.value.column == "kind"
        assert "(the first in row 3)" in str(caught.value)
        assert "transfer" not in str(caught.value)


@pytest.mark.parametrize("far", ["9999-12-31", "0001-01-01T00:00:00+01:00"])
def test_a_time_beyond_nanoseconds_is_named(tmp_path, far):
    write_csv(tmp_path / "t.csv", TABLE.assign(when=["2026-01-01", far, None]))
    source = open_source("transactions", DatasetSettings(path="t.csv"), tmp_path)
    with pytest.raises(DataUnfit, match=r"between 1678 and 2261 \(the first in row 2\)"):
        source.read(["when"], times=["when"])


def test_an_index_stored_by_pandas_is_not_the_banks(tmp_path):
    write_parquet_with_index(tmp_path / "t.parquet", TABLE)
    frame = open_source("x", DatasetSettings(path="t.parquet"), tmp_path).read(["tx", "kind"])
    assert frame.index.tolist() == [0, 1, 2]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_of_another_kind_is_refused(tmp_path, ending):
    (tmp_path / f"t.{ending}").write_bytes(b'\x00\xff\xfe"binary' * 7)
    source = open_source("transactions", DatasetSettings(path=f"t.{ending}"), tmp_path)
    with pytest.raises(DataUnfit):
        source.read(["tx"])


def test_no_file_and_no_known_ending_are_refused(tmp_path):
    with pytest.raises(DataUnfit, match="got none"):
        open_source("transactions", DatasetSettings(path="none.csv"), tmp_path)
    (tmp_path / "t.xyz").write_text("tx\n1\n")
    with pytest.raises(SettingsInvalid, match="format"):
        open_source("transactions", DatasetSettings(path="t.xyz"), tmp_path)
    assert open_source("t", DatasetSettings(path="t.xyz", format="csv"), tmp_path).read(["tx"])["tx"].tolist() == [1]
