"""Models over real HTTP: nodes hear what is in force, bytes are named by their SHA-256, refusals say what to do."""

from __future__ import annotations

import hashlib

import httpx
import pytest
from click.testing import CliRunner

from consortium.access.service import Role, create_token
from consortium.cli.main import main
from tests.common.http_service import served
from tests.common.http_training import run_training
from tests.common.tables_learning import SETTINGS, build


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with served(tmp_path_factory.mktemp("service"), build) as (runtime, url):
        training, banks = run_training(runtime, url, "none")
        with runtime.act("test.token") as (s, _, now):
            _, token = create_token(s, name="ops", role=Role.ADMIN, by="test", now=now)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as operator:
            yield operator, training, banks[0].transport
        for bank in banks:
            bank.transport.client.close()


def test_a_released_model_is_in_force_once_it_is_promoted_and_the_nodes_hear_of_it(world):
    operator, training, node = world
    missing = operator.get("/v1/models/tables")
    assert missing.status_code == 404
    assert training.model_digest in missing.json()["detail"]
    assert operator.get("/v1/models/tables/content").status_code == 404
    assert node.work().in_force == {}
    assert operator.get("/v1/models/tables/card").json()["in_force"] is False

    assert operator.post("/v1/models/tables/promotion").status_code == 404  # a name does not say which
    assert operator.post(f"/v1/models/{training.model_digest}/promotion").json()["in_force"] is True

    assert node.work(wait=0.1).in_force == {"tables": training.model_digest}  # though nothing is owed
    assert node.put_json(f"trainings/{training.id}/farewell", None, wait=0.1).work.in_force == {
        "tables": training.model_digest
    }
    assert operator.get("/v1/models/tables").json()["training"] == training.id
    assert operator.get("/v1/models/tables/card").json()["in_force"] is True
    assert operator.post("/v1/models/tables/rollback").status_code == 409
    assert node.work().in_force == {"tables": training.model_digest}  # a refused act changes nothing

    withdrawn = operator.post("/v1/models/tables/withdrawal").json()
    assert (withdrawn["digest"], withdrawn["in_force"]) == (training.model_digest, False)
    assert node.work().in_force == {"tables": None}
    assert operator.get("/v1/models/tables").status_code == 404
    assert operator.post("/v1/models/nobody/withdrawal").status_code == 404


def test_the_bytes_are_named_by_their_hash_also_where_the_digest_is_another(world):
    operator, training, _ = world
    view = operator.get(f"/v1/models/{training.id}").json()
    content = operator.get(f"/v1/models/{training.id}/content").content
    assert hashlib.sha256(content).hexdigest() == view["sha256"]
    assert view["sha256"] != view["digest"]  # a risk table's digest is of its counts
    assert operator.get(f"/v1/models/{training.id}/card").json()["sha256"] == view["sha256"]


def test_a_tables_card_says_how_much_it_counts_and_with_which_settings(world):
    operator, training, _ = world
    card = operator.get(f"/v1/models/{training.id}/card").json()
    assert card["volumes"]["entities"]["terminal"]["transactions"] == 5 * 300  # of five banks' rows, see `rows_of`
    assert 0 < card["volumes"]["entities"]["terminal"]["frauds"] < 5 * 300
    assert card["settings"] == SETTINGS.model_dump(mode="json")


def test_a_plan_is_warned_of_features_that_its_tables_do_not_make(world):
    operator, training, _ = world
    listed = [{"kind": "numeric", "name": f"terminal_risk_{days}d"} for days in (7, 14)]
    inputs = {"features": listed, "label": "fraud", "split": {"test_share": 0.2}}
    nobody = "0" * 8 + "-0000" * 3 + "-" + "0" * 12

    def warnings(*tables):
        recipe = {"time": "time", "entity_tables": tables}
        plan = {"name": "with-tables", "learning": {"kind": "gbdt", "inputs": inputs}, "features": recipe}
        return operator.post("/v1/plans/check", json=plan, timeout=60).json()["check"]["warnings"]

    (said,) = warnings(training.id)  # its windows are the settings' default, which its plan does not write down
    assert "'terminal_risk_14d' is called like a derived feature" in said
    missing, *unmade = warnings(nobody)
    assert missing == f"features.entity_tables: {nobody} is no training of entity tables here"
    assert len(unmade) == 2


def test_the_command_line_takes_what_its_list_shows(world):
    operator, training, _ = world
    token = operator.headers["Authorization"].removeprefix("Bearer ")

    def run(*arguments):
        return CliRunner().invoke(main, ["model", *arguments, "--url", str(operator.base_url), "--token", token])

    shown = run("list").output
    digest, identifier = training.model_digest[:16], training.id[:8]
    assert digest in shown
    for beginning in (digest, identifier, f"{digest}…"):
        promoted = run("promote", beginning)
        assert f"model {digest}" in promoted.stdout
        assert "hear of it with their next contact" in promoted.stderr
        assert "warning: no node scores with an entity table" in promoted.stderr
        assert digest in run("card", beginning).output
    assert digest in run("card", "tables").output
    assert run("promote", "0" * 12).exit_code == 3
    for beginning in (digest[:5], f"{digest[:2]}…"):
        refused = run("promote", beginning)
        assert refused.exit_code == 3
        assert "expected at least 6 characters of a digest or of a training's id, got" in refused.output
    assert run("withdraw", "tables").stdout == (
        f"no model is in force as tables; the last, or else the newest: {digest}\n"
    )
