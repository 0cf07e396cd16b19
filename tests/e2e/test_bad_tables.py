"""Banks whose tables do not fit, or are poor: the operator sees which bank and which column; the others go on."""

from __future__ import annotations

import pandas as pd
import pytest

from learning.algorithms import build
from learning.driver import run
from learning.gbdt_settings import GbdtSettings
from learning.schema import prepare
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows

pytestmark = pytest.mark.server

COLUMNS = 4
GBDT = {"kind": "gbdt", "inputs": schema_of(COLUMNS), "trees": 2, "max_depth": 2, "max_bin": 16}


@pytest.fixture(scope="module")
def tables():
    """Two good ones, one without fraud, an empty one, one with infinite values, one with text for numbers; the first is
    of March, the others are of January."""
    found = [simulated_rows(number, 800, COLUMNS).assign(terminal=number) for number in range(6)]
    for number, table in enumerate(found):
        table["time"] = pd.Timestamp("2026-01-10" if number else "2026-03-14") + pd.to_timedelta(table.index, unit="h")
    found[2] = found[2].assign(fraud=0)
    found[3] = found[3].iloc[:0]
    found[4].loc[5, "f1"] = float("inf")
    found[5] = found[5].assign(f2="much")
    return found


@pytest.fixture(scope="module")
def consortium(tmp_path_factory, tables):
    with ConsortiumOfNodes(tmp_path_factory.mktemp("bad-tables"), tables) as running:
        yield running


def refusals(view):
    return {bank["name"]: bank["refusal"] for bank in view["banks"] if bank["answer"] == "refused"}


def test_banks_that_do_not_fit_are_named_with_their_column_and_the_others_train(consortium, tables):
    training = consortium.start_training({"name": "cards", "learning": GBDT, "deadlines": {"invitation_s": 60}})
    view = consortium.finish(training)
    refused = refusals(view)
    assert set(refused) == {"bank-3", "bank-4", "bank-5"}
    assert "at least one row" in refused["bank-3"]
    assert "column 'f1'" in refused["bank-4"]
    assert "1 infinite ones" in refused["bank-4"]
    assert "column 'f2'" in refused["bank-5"]
    assert "much" not in refused["bank-5"]
    settings = GbdtSettings.model_validate(GBDT)
    banks = [prepare(table, settings.inputs) for table in tables[:3]]
    assert view["model"] == run(build(settings), banks).digest().hex()


def test_a_training_that_has_nothing_to_stop_early_by_fails_in_words(consortium):
    split = {"validation_share": 1e-9, "test_share": 0.2}
    learning = GBDT | {"inputs": schema_of(COLUMNS) | {"split": split}, "early_stopping_rounds": 2}
    training = consortium.start_training({"name": "no-validation", "learning": learning})
    view = consortium.until(training, "completed", "failed")
    assert view["state"] == "failed"
    assert "validation rows of both classes over all banks" in view["reason"]


def test_a_bank_without_rows_of_the_days_that_are_counted_takes_no_part_and_tells_its_own_days_to_nobody(consortium):
    learning = {
        "kind": "entity_tables", "entities": ["terminal"], "time": "time", "label": "fraud", "width": 64,
        "first_day": "2026-01-01", "last_day": "2026-01-31",
    }  # fmt: skip
    training = consortium.start_training({"name": "terminals", "learning": learning})
    view = consortium.finish(training)
    refused = refusals(view)
    assert set(refused) == {"bank-0", "bank-3"}
    assert (
        "column 'time': expected rows of the days that the plan counts, 2026-01-01 to 2026-01-31" in refused["bank-0"]
    )
    assert "2026-03" not in str(view)
    node = consortium.nodes[0]
    node.stop()  # writes its status at once
    said = node.status()["status"]["trainings"][training]["complaint"]
    node.start()
    assert said.endswith("this bank's rows are of 2026-03-14 to 2026-04-16")
