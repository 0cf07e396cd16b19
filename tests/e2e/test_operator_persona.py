"""An operator at the command line: every command as a process, with right and wrong inputs. Whatever goes wrong is said
in a sentence that helps, with an exit code of its kind, and never with a traceback.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consortium.storage.service import DAY_S
from tests.common.http_service import enrol_with
from tests.common.http_training import small_plan
from tests.common.nodes import schema_of
from tests.common.processes import COMMAND, ServiceProcess, WorkerProcess, clean_environment
from tests.common.servers import free_port

pytestmark = pytest.mark.server

DONE, FAILED, USAGE, REFUSED, UNREACHABLE, NO_MODEL = range(6)


class Answer:
    """What a command printed, and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def text(self) -> str:
        return " ".join((self.out + self.err).split())


class Operator:
    """An operator's shell."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.settings = folder, settings

    def __call__(self, *arguments: str, code: int = DONE, says: str = "", stdin: str = "", **settings: str) -> Answer:
        """Runs a command, and holds it to its exit code and to a sentence."""
        done = subprocess.run(
            [*COMMAND, *arguments], env=clean_environment(**self.settings | settings), cwd=self.folder, input=stdin,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        answer = Answer(done)
        assert answer.code == code, (arguments, answer.code, answer.text)
        assert "Traceback" not in answer.text, (arguments, answer.text)
        assert says in answer.text, (arguments, answer.text)
        if code not in {DONE, NO_MODEL}:
            assert answer.err.strip(), arguments
            assert not re.search(r"<\w+\.\w+: |pydantic|Error\(", answer.err), answer.err
        return answer

    def json(self, *arguments: str, **settings: str):
        """A command's answer with `--json`."""
        return json.loads(self(*arguments, "--json", **settings).out)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = ServiceProcess(tmp_path_factory.mktemp("service"))
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def operator(service, tmp_path_factory):
    folder = tmp_path_factory.mktemp("operator")
    token = service.cli("token", "create", "ops", "--role", "admin")["token"]
    operator = Operator(
        folder, CONSORTIUM_URL=service.url, CONSORTIUM_TOKEN=token, CONSORTIUM_DATA_DIR=str(service.folder)
    )
    for number in range(3):
        invited = operator.json("node", "invite", f"bank-{number}")
        enrol_with(service.url, f"bank-{number}", invited["token"]).client.close()
    (folder / "plan.json").write_text(small_plan("ckks").model_dump_json())
    operator("plan", "create", "plan.json")
    return operator


# ---- settings, database, serve, worker ----


def test_settings_that_are_wrong_or_unknown(tmp_path):
    operator = Operator(tmp_path)
    operator("serve", code=USAGE, says="did you mean CONSORTIUM_THREADS?", CONSORTIUM_THREDS="3")
    operator(
        "serve", code=USAGE, says="CONSORTIUM_THREADS: expected a whole number, got 'many'", CONSORTIUM_THREADS="many"
    )
    operator("serve", "--port", "70000", code=USAGE, says="70000 is not in the range")
    operator("worker", code=USAGE, says="CONSORTIUM_REDIS_URL is not set")
    for command in (("serve", "--port", "0"), ("worker",)):
        refused = operator(
            *command,
            code=USAGE,
            says="CONSORTIUM_REDIS_URL: expected redis://host",
            CONSORTIUM_REDIS_URL="http://:pw@x/0",
        )
        assert "pw" not in refused.text
    operator("worker", "--concurrency", "0", code=USAGE, says="0 is not in the range")
    operator("storage", "show", code=USAGE, says="consortium token create")
    operator("nonsense", code=USAGE, says="No such command 'nonsense'")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"CONSORTIUM_DATABASE_URL": "nonsense"}, "database: expected postgresql://"),
        ({"CONSORTIUM_DATABASE_URL": "mysql://root:secret@db/x"}, "database: expected postgresql://"),
        ({"CONSORTIUM_DATA_DIR": "/proc/none"}, "folder that can be written to"),
        ({"CONSORTIUM_BLOB_URL": "ftp://x"}, "blob store: expected file:///folder or s3://bucket/prefix, got ftp"),
        ({"CONSORTIUM_BLOB_URL": "file:///proc/none"}, "blob store: expected a folder that can be written to"),
    ],
)
def test_what_cannot_be_opened_is_said_before_anything_is_served(tmp_path, settings, says):
    operator = Operator(tmp_path)
    refused = operator("serve", "--port", "0", code=FAILED, says=says, **settings)
    assert "secret" not in refused.text
    assert "http://" not in refused.text


def test_a_database_that_is_none_of_ours(tmp_path):
    operator = Operator(tmp_path)
    (tmp_path / "consortium-data").mkdir()
    (tmp_path / "consortium-data" / "consortium.db").write_bytes(b"not a database, " * 100)
    for command in (("serve", "--port", "0"), ("token", "list"), ("db", "upgrade")):
        operator(*command, code=FAILED, says="database: expected a file that can be read and written")
    url = f"postgresql://ops:secret@127.0.0.1:{free_port()}/x"
    refused = operator("token", "list", code=FAILED, says="database: expected a server", CONSORTIUM_DATABASE_URL=url)
    assert "secret" not in refused.text


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        Operator(tmp_path)("serve", "--port", port, code=FAILED, says="Address already in use; choose another")
    Operator(tmp_path)("serve", "--host", "192.0.2.1", code=FAILED, says="choose another --host")


def test_a_worker_says_what_it_cannot_open(tmp_path):
    redis = f"redis://127.0.0.1:{free_port()}/0"
    Operator(tmp_path)(
        "worker", code=FAILED, says="database: expected postgresql://", CONSORTIUM_REDIS_URL=redis,
        CONSORTIUM_DATABASE_URL="nonsense",
    )  # fmt: skip


def test_a_token_is_only_made_where_the_service_is(tmp_path):
    operator = Operator(tmp_path)
    for command in (("create", "ops"), ("list",), ("revoke", "0b6f8d0c")):
        operator("token", *command, code=FAILED, says="`consortium serve`, and start that first")
    assert list(tmp_path.iterdir()) == []
    made = operator.json("token", "create", "ops", "--init", "--role", "admin", "--days", "7")
    assert made["token"].startswith("fco_")
    operator("token", "create", "Not A Name", code=USAGE, says="expected at most 63 of a-z")
    operator("token", "create", "ops", "--role", "king", code=USAGE, says="'king' is not one of")
    operator("token", "create", "ops", "--days", "-1", code=USAGE, says="-1.0 is not in the range")
    assert operator("token", "list").out.splitlines()[1].startswith(f"{made['id']}\tops\tadmin\t")
    assert operator.json("token", "revoke", made["id"])["revoked_at"] > 0
    operator("token", "revoke", made["id"], says="is revoked")
    operator("token", "revoke", "0b6f8d0c", code=REFUSED, says="`consortium token list` shows all")
    assert operator.json("db", "upgrade")["revision"]


# ---- who asks ----


def test_a_service_that_is_not_there_or_none(operator):
    url = f"http://127.0.0.1:{free_port()}"
    for command in ("node list", "plan list", "training list", "model list", "storage show", "training watch 3f0d"):
        operator(*command.split(), code=UNREACHABLE, says="is `consortium serve` running", CONSORTIUM_URL=url)
    operator("node", "list", code=USAGE, says="--url: expected http://HOST:PORT", CONSORTIUM_URL="localhost:8440")


@pytest.mark.parametrize("token", ["nonsense", "fco_nonsense", "a.b.c"])
def test_a_token_that_is_none(operator, token):
    refused = operator("node", "list", code=REFUSED, says="[not-authenticated]", CONSORTIUM_TOKEN=token)
    assert "expected" in refused.text
    if "." not in token and not token.startswith("fco_"):
        assert "unknown token; expected an operator's, which begins fco_" in refused.text


def test_a_token_with_a_space(operator):
    operator("node", "list", code=USAGE, says="expected one word", CONSORTIUM_TOKEN="fco_a b\n")


def test_roles(operator):
    viewer = operator.json("token", "create", "watcher", "--role", "viewer")["token"]
    operator("node", "list", CONSORTIUM_TOKEN=viewer)
    operator("storage", "show", CONSORTIUM_TOKEN=viewer)
    for command in ("node invite bank-9", "training start tables", "storage sweep"):
        operator(*command.split(), code=REFUSED, says="got one of role viewer", CONSORTIUM_TOKEN=viewer)


# ---- nodes, plans, models ----


def test_nodes(operator):
    assert operator("node", "list").out.count("\n") == 4
    refused = operator("node", "invite", "Bank A!", code=REFUSED, says="[validation]")
    assert "name: expected at most 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit" in refused.text
    operator("node", "invite", "bank-x", "--days", "0", code=USAGE, says="is not in the range")
    operator("node", "remove", "nobody", code=REFUSED, says="[not-found]")


def test_plans(operator, tmp_path):
    learning = {"kind": "gbdt", "inputs": schema_of(4), "trees": 10, "max_depth": 3}

    def plan(**parts):
        return json.dumps({"name": "trees", "learning": learning} | parts)

    tried = operator("plan", "create", "-", "--dry-run", stdin=plan())
    for said in ("about 35 rounds", "sent by each of 3 banks", "sums are exact", "learns"):
        assert said in tried.text
    assert "no test rows" not in tried.text
    trees = {"kind": "random_gbdt", "inputs": schema_of(4), "edges": "sketched"}
    for level, blind in (
        ("ckks", {"kind": "logistic", "inputs": schema_of(4) | {"split": {"test_share": "0"}}}),
        ("none", {"kind": "logistic", "inputs": schema_of(4) | {"split": {}}}),
        ("ckks", trees | {"evaluate": False}),
    ):
        asked = plan(learning=blind, protection={"level": level})
        assert "no test rows" in operator("plan", "check", "-", stdin=asked).text
    assert "no test rows" not in operator("plan", "check", "-", stdin=plan(learning=trees)).text
    slip = learning | {"inputs": schema_of(4) | {"features": [{"kind": "numeric", "name": "customer_mean_30d"}]}}
    assert "warning: learning.inputs.features: 'customer_mean_30d' is" in operator(
        "plan", "create", "-", "--dry-run", stdin=plan(learning=slip)
    ).text  # fmt: skip
    for noise in (
        {"kind": "random_gbdt", "inputs": schema_of(4), "edges": "sketched",
         "privacy": {"epsilon": 1.0, "noise_banks": 3}},
        {"kind": "entity_tables", "entities": ["terminal"], "time": "time", "label": "fraud", "width": 64,
         "first_day": "2026-01-01", "last_day": "2026-01-31", "noise_sigma": 2.0, "noise_banks": 3},
    ):  # fmt: skip
        asked = plan(learning=noise)
        assert (
            "noise_banks: every bank refuses 3: expected at most 2" in operator("plan", "check", "-", stdin=asked).text
        )
        asked = plan(learning=noise, cohort={"min_banks": 4})
        assert "noise_banks" not in operator("plan", "check", "-", "--banks", "5", stdin=asked).text
    operator("plan", "show", "trees", code=REFUSED, says="plan 'trees': there is none")
    created = operator("plan", "create", "-", stdin=plan())
    assert "learns" not in created.text
    shown = operator("plan", "show", "trees")
    for said in ("learns", "gradient-boosted trees", "max_depth 3", "learning_rate 0.3", "test 20 %"):
        assert said in shown.text, said
    assert "f3\tnumeric\t" in shown.out.splitlines()
    check = operator.json("plan", "show", "trees")["check"]
    assert check["bytes_per_bank"] > 100_000
    assert "trees" in operator("plan", "list").out
    operator("plan", "create", "-", code=REFUSED, says="choose a new name", stdin=plan(description="other"))
    assert operator.json("plan", "remove", "trees")["name"] == "trees"
    operator("plan", "remove", "trees", code=REFUSED, says="plan 'trees': there is none")
    operator("plan", "create", "-", stdin=plan(description="other"))
    operator("plan", "remove", "trees", says="plan trees is removed")
    operator("plan", "create", "none.json", code=USAGE, says="none.json: No such file")
    operator("plan", "create", "-", code=USAGE, says="expected JSON, got something else", stdin="{")
    operator("plan", "check", "-", "--banks", "1", code=USAGE, says="is not in the range", stdin=plan())
    operator("plan", "check", "-", code=REFUSED, says="[validation]", stdin="[]")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "gbtd"}, "learning.kind: expected one of 'gbdt'"),
        ({"kind": None}, "learning.kind: expected"),
        ({"trees": 0}, "learning.trees: expected greater than or equal to 1, got 0"),
        ({"tree": 3}, "learning.tree: there is no such field; did you mean trees?"),
        ({"early_stopping_rounds": 3}, "needs validation rows"),
    ],
)
def test_a_plan_whose_learning_is_wrong_says_which_field(operator, change, says):
    learning = {"kind": "gbdt", "inputs": schema_of(4), "trees": 10} | change
    plan = json.dumps({"name": "wrong", "learning": learning})
    refused = operator("plan", "create", "-", code=REFUSED, says=says, stdin=plan)
    assert "https://" not in refused.text
    assert "input_type" not in refused.text


def test_models(operator):
    assert operator.json("model", "list") == []
    for command in ("card", "promote", "rollback"):
        operator("model", command, "tables", code=REFUSED)
    operator("model", "get", "tables", "--out", "model.json", code=REFUSED)
    operator("model", "get", "tables", code=USAGE, says="Missing option '--out'")


# ---- trainings ----


def test_a_training_by_the_beginning_of_its_id(operator):
    training = operator("training", "start", "tables").out.strip()
    assert re.fullmatch(r"[0-9a-f-]{36}", training)
    other = operator.json("training", "start", "tables")["id"]
    assert operator.json("training", "show", training[:8])["id"] == training
    assert operator.json("training", "show", f"{training[:8]}…")["id"] == training
    operator("training", "show", "xyz", code=REFUSED, says="expected an id or its first characters")
    assert operator.json("training", "show", "tables")["id"] == other  # a plan: its newest
    operator("training", "cancel", "tables", code=REFUSED, says=f"got a plan, whose newest training is {other}")
    operator("training", "show", "0123456789abc", code=REFUSED, says="got none of the newest")
    operator("training", "start", "none", code=REFUSED, says="`consortium plan list` shows all")
    operator("plan", "remove", "tables", code=REFUSED, says="was started of it, so that it stays for the record")
    rows = operator("training", "list").out.splitlines()
    assert {row.split("\t")[0] for row in rows[1:]} >= {training, other}
    assert "there are more: --limit" in operator("training", "list", "--limit", "1").err
    shown = operator("training", "show", training)
    assert "0 of 3 banks have answered" in shown.text
    assert "\tstart\t" in shown.out
    operator("training", "show", training, "--limit", "0", code=USAGE, says="is not in the range")
    operator("training", "pause", training[:8], code=REFUSED, says="expected state running, got inviting")
    operator("training", "resume", training[:8], "--reason", "x", code=USAGE, says="No such option")
    operator("training", "resume", training[:8], code=REFUSED, says="expected state paused, got inviting")
    operator("training", "cancel", training[:8], "--reason", "enough", says=f"training {training} is cancelled")
    refused = operator("training", "cancel", training[:8], code=REFUSED, says="got cancelled; it has ended for good")
    assert "TrainingState" not in refused.text
    events = operator.json("training", "show", training, "--limit", "1")["events"]
    assert [event["kind"] for event in events] == ["cancel"]  # the newest
    operator("training", "watch", training, code=NO_MODEL, says="cancelled by ops: enough")
    operator("training", "show", training, "--follow", says="cancelled by ops: enough")
    operator("training", "cancel", other)


def test_a_watched_training_outlives_a_restart_of_the_service(operator, service):
    training = operator("training", "start", "tables").out.strip()
    watch = subprocess.Popen(
        [*COMMAND, "training", "watch", training], env=clean_environment(**operator.settings), cwd=operator.folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "inviting" in watch.stderr.readline()
    service.kill()
    assert re.match(r"service away since \d\d:\d\d:\d\d UTC", watch.stderr.readline())
    service.start()
    operator("training", "cancel", training, "--reason", "seen enough")
    rest = watch.communicate(timeout=60)[1]
    assert watch.returncode == NO_MODEL
    assert "cancelled" in rest
    assert "seen enough" in rest


# ---- storage ----


def test_storage(operator):
    training = operator("training", "start", "tables").out.strip()
    operator("training", "cancel", training)
    [found] = [one for one in operator.json("storage", "show") if one["training"] == training]
    assert found["deletable_from"] - time.time() > 29 * DAY_S
    assert training in operator("storage", "show").out
    assert operator.json("storage", "sweep", "--dry-run") == []
    operator("storage", "sweep", says="nothing is past its retention")


def test_a_worker_waits_for_redis_without_a_traceback(tmp_path):
    settings = {"CONSORTIUM_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    worker = WorkerProcess(tmp_path, "worker", **settings)
    worker.start()
    until = time.monotonic() + 90
    while "refused" not in worker.log.read_text() and time.monotonic() < until:
        time.sleep(0.2)
    assert worker.process.poll() is None
    worker.stop()
    assert "Connection refused" in worker.log.read_text()
    assert "Traceback" not in worker.log.read_text()


def test_the_console_script_is_the_same_command(tmp_path):
    script = Path(sys.executable).parent / "consortium"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert re.search(r"\d+\.\d+", done.stdout)
