"""The contract of every data source, and what each says about a table that does not fit."""

import gzip
import io
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bank_node.errors import DataUnfit
from bank_node.settings import DatasetSettings
from bank_node.sources import open_source
from bank_node.sources.csv_lines import may_be_odd

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
        with pytest.raises(DataUnfit) as caught:
            make_source(rename={"nothing": "x"}).read(["tx"])
        assert "'nothing'" in caught.value.in_full()
        assert "nothing" not in str(caught.value)  # the operator reads it, and the name is the bank's own

    def test_two_columns_of_one_name_are_refused(self, make_source):
        with pytest.raises(DataUnfit, match="two of one name") as caught:
            make_source(rename={"amount": "tx"}).describe()
        assert caught.value.in_full().endswith("are both called 'tx'")

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


def parquet_bytes():
    file = io.BytesIO()
    TABLE.to_parquet(file)
    return file.getvalue()


ZIPPED = gzip.compress(b"tx,amount\n" + b"1,secret\n" * 5000)
CSV = "expected a CSV file in UTF-8 with a header, separated by commas, got "
TSV = "expected a CSV file in UTF-8 with a header, separated by tabs, got "
PARQUET = "expected a Parquet file, got "


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"", CSV + "an empty file;"),
        ("t.csv", b"\n\n", CSV + "blank lines alone;"),
        ("t.csv", b'\x00\xff\xfe"binary' * 7, CSV + "bytes that are no text;"),
        ("t.csv", b"tx,amount\n1,2\n\nsecr\xe9t,3\n", CSV + "text that is not in UTF-8 (the first in line 4);"),
        ("t.csv", "tx,amount\n1,secret\n".encode("utf-16"), CSV + "text in UTF-16;"),
        ("t.csv", "tx,amount\n1,secret\n".encode("utf-16-be"), CSV + "bytes that are no text;"),
        ("t.csv", parquet_bytes(), CSV + "a Parquet file;"),
        ("t.csv", ZIPPED, CSV + "a gzip file;"),
        ("t.csv", b"PK\x03\x04\x14\x00\x06\x00", CSV + "a ZIP archive or an Excel workbook;"),
        ("t.csv", b"tx;amount\n1;secret\n", CSV + "one that seems to be separated by semicolons;"),
        ("t.csv", b"tx;amount\n1;2,5\n", CSV + "one that seems to be separated by semicolons;"),
        ("t.csv", b"tx\tamount\n1\tsecret\n", CSV + "one that seems to be separated by tabs;"),
        ("t.tsv", b"tx,amount\n1,secret\n", TSV + "one that seems to be separated by commas;"),
        ("t.csv", b'tx,amount\n1,2\n2,"secret\n3,4\n', CSV + "a quotation mark in row 2 that is never closed;"),
        ("t.csv", b'tx,"amount\n1,2\n', CSV + "a quotation mark in the header that is never closed;"),
        ("t.csv.gz", ZIPPED[:-20], CSV + "a gzip file that was not written to its end;"),
        ("t.csv.gz", ZIPPED[:20] + b"secret" + ZIPPED[26:], CSV + "a damaged gzip file;"),
        ("t.csv.gz", b"tx,amount\n1,secret\n", CSV + "one that is called .gz and is no gzip file, or a damaged one;"),
        ("t.parquet", b"", PARQUET + "an empty file;"),
        ("t.parquet", b"tx,amount\n1,secret\n", PARQUET + "text;"),
        ("t.parquet", b'\x00\xff\xfe"binary' * 7, PARQUET + "bytes that are no text;"),
        ("t.parquet", parquet_bytes()[:-9], PARQUET + "one that is damaged or was not written to its end (Arrow"),
        ("t.parquet", ZIPPED, PARQUET + "a gzip file;"),
    ],
)  # fmt: skip
def test_a_file_that_is_broken_or_of_another_kind_is_refused_in_words_and_without_its_values(
    tmp_path, name, content, said
):
    (tmp_path / name).write_bytes(content)
    source = open_source("transactions", DatasetSettings(path=name), tmp_path)
    with pytest.raises(DataUnfit) as caught:
        source.read(["tx"], texts=["tx"])
    assert str(caught.value).startswith(f"dataset 'transactions': {said}")
    assert "; export it so and whole, or as " in str(caught.value)
    assert "secr" not in str(caught.value)
    assert caught.value.__cause__ is None  # a library's own sentence may quote a row


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_file_that_the_node_may_not_read_is_said_so(tmp_path, name):
    path = tmp_path / name
    write_csv(path, TABLE) if name == "t.csv" else write_parquet(path, TABLE)
    source = open_source("transactions", DatasetSettings(path=name), tmp_path)
    path.unlink()
    path.mkdir()  # root may read any file, but no folder
    with pytest.raises(DataUnfit, match="got one that can not be read: Is a directory;"):
        source.read(["tx"])


def test_lists_do_not_pass_through_as_text(tmp_path):
    write_parquet(tmp_path / "t.parquet", TABLE.assign(kind=[["secret"], None, []]))
    source = open_source("transactions", DatasetSettings(path="t.parquet"), tmp_path)
    with pytest.raises(
        DataUnfit, match="column 'kind': expected texts, numbers or times to pass through, got values"
    ) as e:
        source.read(["kind"], texts=["kind"])
    assert "secret" not in str(e.value)


LINES = [
    "tx,when,note,amount",
    "1,2026-01-01,plain,1.5",
    '2,2026-01-02,"with, comma",2.5',
    '3,2026-01-03,"two\nlines",3.5',
]


def csv_source(tmp_path, text, name="t.csv"):
    raw = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return open_source("transactions", DatasetSettings(path=name), tmp_path)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("wrong", "line", "got"),
    [
        ("4,2026-01-04,pla", 6, 3),  # cut off
        ("4", 6, 1),
        ("4,2026-01-04,a, comma,4.5", 6, 5),
        ("4,2026-01-04\n5,2026-01-05,plain,5.5", 6, 2),
        ('4,2026-01-04,"two\nlines"\n', 7, 3),
        ("   \n4,2026-01-04,plain", 7, 3),
    ],
)
def test_a_line_with_more_or_fewer_fields_is_refused_by_its_number(tmp_path, name, end, wrong, line, got):
    source = csv_source(tmp_path, "\n".join([*LINES, wrong]).replace("\n", end), name)
    with pytest.raises(DataUnfit, match=f"'transactions', line {line}: expected 4 fields as in the header, got {got}"):
        source.read(["tx", "amount"])


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n  \n"])
@pytest.mark.parametrize("last", ["4,2026-01-04,plain,4.5", '4,2026-01-04,"the ""last"",\n\none",4.5', "4,,,"])
def test_whole_lines_are_read_whatever_is_quoted_and_however_the_file_ends(tmp_path, last, end):
    frame = csv_source(tmp_path, "\n".join([*LINES, last]) + end).read(["tx", "note"])
    assert frame["tx"].tolist() == [1, 2, 3, 4]
    assert frame["note"].tolist()[1:3] == ["with, comma", "two\nlines"]


def test_if_every_line_is_too_long_by_one_no_column_takes_the_values_beside_it(tmp_path):
    with pytest.raises(DataUnfit, match="line 2: expected 2 fields as in the header, got 3"):
        csv_source(tmp_path, "tx,amount\n1,1.5,\n2,2.5,\n").read(["tx"])


def test_a_long_file_full_of_quoted_lines_and_commas_needs_no_second_look(tmp_path):
    """More than pyarrow takes at once, so that it begins and ends blocks within quotation marks."""
    text = "tx,note\n" + "".join(f'{n},"{"x, " * (n % 7)}\n{n},\n"\n' for n in range(120_000))
    source = csv_source(tmp_path, text)
    assert len(source.read(["tx"])) == 120_000
    assert not may_be_odd(tmp_path / "t.csv", ",")
    with pytest.raises(DataUnfit, match="line 360002: expected 2 fields as in the header, got 1"):
        csv_source(tmp_path, text + "cut").read(["tx"])


def test_no_file_and_no_known_ending_are_refused(tmp_path):
    with pytest.raises(DataUnfit, match="expected its file, got none") as caught:
        open_source("transactions", DatasetSettings(path="none.csv"), tmp_path)
    assert caught.value.in_full().endswith(f"no file at {tmp_path / 'none.csv'}")
    assert str(tmp_path) not in str(caught.value)  # the operator reads it
    (tmp_path / "t.xyz").write_text("tx\n1\n")
    with pytest.raises(DataUnfit, match="set format to csv or parquet"):
        open_source("transactions", DatasetSettings(path="t.xyz"), tmp_path)
    assert open_source("t", DatasetSettings(path="t.xyz", format="csv"), tmp_path).read(["tx"])["tx"].tolist() == [1]


def parquet_of(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return open_source("transactions", DatasetSettings(path="t.parquet", rename={"NO": "id"}), tmp_path)


def test_decimals_of_a_database_are_the_numbers_that_they_say(tmp_path):
    amounts = pa.array([Decimal("12.35"), None, Decimal("-0.01")], pa.decimal128(12, 2))
    numbers = pa.array([Decimal(7), Decimal(2**62 + 1), Decimal(-3)], pa.decimal128(38, 0))
    source = parquet_of(tmp_path, amount=amounts, NO=numbers)
    frame = source.read(["amount", "id"])
    assert frame["amount"].tolist()[::2] == [12.35, -0.01]
    assert frame["amount"].isna().tolist() == [False, True, False]
    assert frame["id"].tolist() == [7, 2**62 + 1, -3]
    assert source.read(["id"], texts=["id"])["id"].tolist() == ["7", str(2**62 + 1), "-3"]


def test_whole_decimals_that_no_integer_holds_are_refused_by_their_column(tmp_path):
    source = parquet_of(tmp_path, NO=pa.array([Decimal(10) ** 30], pa.decimal128(38, 0)))
    with pytest.raises(DataUnfit, match="column 'id': expected whole numbers of at most 64 bits"):
        source.read(["id"])
    assert source.read(["id"], texts=["id"])["id"].tolist() == ["1" + 30 * "0"]
