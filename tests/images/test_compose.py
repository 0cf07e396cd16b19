"""docker/compose.yaml names only what exists, publishes only the service on loopback, has no password of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from bank_node.cli import main as bank_node_main
from bank_node.settings import NodeSettings
from consortium.cli import main as consortium_main
from consortium.settings import Settings
from learning.algorithms import LearningSettings
from protocol.plan import Plan
from tests.images.compose import COMPOSE, VariableMissing, read_compose
from tests.images.image import REPOSITORY

PASSWORDS = {"POSTGRES_PASSWORD": "first", "REDIS_PASSWORD": "second"}
DOCKERFILE = (REPOSITORY / "docker/Dockerfile").read_text()
SCRIPTS = sorted((REPOSITORY / "docker/demo").glob("*.sh"))
OURS = ("fraud-consortium/service:dev", "fraud-consortium/worker:dev", "fraud-consortium/node:dev")
COMMAND_LINES = {"consortium": consortium_main, "bank-node": bank_node_main}
#: What the command lines read beside the settings.
ALSO = {"CONSORTIUM_URL", "CONSORTIUM_TOKEN", "BANK_NODE_HOME", "BANK_NODE_TOKEN"}


@pytest.fixture
def compose() -> dict[str, Any]:
    return read_compose(PASSWORDS)


def test_there_are_redis_postgresql_the_service_two_workers_and_three_demo_banks(compose):
    services = compose["services"]
    assert {"redis", "postgres", "service", "worker"} < set(services)
    assert services["worker"]["deploy"]["replicas"] == 2
    banks = [name for name, service in services.items() if service["image"] == OURS[2]]
    assert banks == ["bank-0", "bank-1", "bank-2"] == services["demo-invitations"]["command"]
    # Without `--profile demo` nothing of the demo runs.
    assert {name for name, service in services.items() if "profiles" not in service} == {
        "redis", "postgres", "service", "worker",
    }  # fmt: skip


@pytest.mark.parametrize("name", PASSWORDS)
def test_without_a_password_it_does_not_start(name):
    with pytest.raises(VariableMissing, match=name):
        read_compose(PASSWORDS | {name: ""})


def test_nothing_is_published_but_the_service_on_loopback(compose):
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"service": [f"127.0.0.1:8440:{Settings.model_fields['port'].default}"]}
    assert re.search(rf"^EXPOSE {Settings.model_fields['port'].default}$", DOCKERFILE, re.MULTILINE)


def test_banks_reach_the_service_and_nothing_behind_it(compose):
    for name, service in compose["services"].items():
        if name.startswith("bank-"):
            assert service["networks"] == ["banks"]
        elif name in {"redis", "postgres", "worker"}:
            assert service["networks"] == ["backend"]
    assert compose["networks"]["banks"] == compose["networks"]["backend"] == {"internal": True}


def test_everything_is_confined(compose):
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["image"] in OURS or service["user"] in {"postgres", "redis"}


def test_targets_volumes_networks_dependencies_and_files_exist(compose):
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    for name, service in compose["services"].items():
        if "build" in service:
            assert service["build"]["target"] in targets
            assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert service["image"] == f"fraud-consortium/{service['build']['target']}:dev"
        assert set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (COMPOSE.parent / source).exists(), (name, volume)
        for needed, condition in service.get("depends_on", {}).items():
            # What is waited for must be able to become it.
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][needed] or needed == "service"
            assert set(compose["services"][needed].get("profiles", [])) <= set(service.get("profiles", []))
    used = {v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", [])}
    assert set(compose["volumes"]) <= used


def test_settings_exist_and_are_valid(compose, monkeypatch):
    for service in compose["services"].values():
        given = {key: str(value) for key, value in service.get("environment", {}).items()}
        for prefix, model in (("CONSORTIUM_", Settings), ("BANK_NODE_", NodeSettings)):
            named = {key for key in given if key.startswith(prefix)} - ALSO
            assert {key.removeprefix(prefix).lower() for key in named} <= set(model.model_fields)
        with monkeypatch.context() as patch:
            for key, value in given.items():
                patch.setenv(key, value)
            assert "first" not in repr(Settings())
            if service["image"] == OURS[2]:
                NodeSettings(url="http://service:8440", name="bank-0")


def test_settings_in_the_dockerfile_exist():
    named = set(re.findall(r"\b((?:CONSORTIUM|BANK_NODE)_[A-Z_]+)=", DOCKERFILE)) - ALSO
    assert {name.removeprefix("CONSORTIUM_").lower() for name in named} <= set(Settings.model_fields)


def calls_in(script: str) -> list[tuple[str, list[str], list[str]]]:
    """Every call of one of the two command lines in a shell script: program, command, options."""
    parts = [part for line in script.splitlines() for part in re.split(r"\|\||\$\(|;|^#.*", line)]
    found = [re.search(r"\b(consortium|bank-node) ([a-z]+(?: [a-z]+\b)?)(.*)", part) for part in parts]
    return [(match[1], match[2].split(), re.findall(r"--[a-z-]+", match[3])) for match in found if match]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_demos_scripts_call_what_the_command_lines_have(script):
    subprocess.run(["sh", "-n", script], check=True)
    calls = calls_in(script.read_text())
    assert calls
    for program, command, options in calls:
        answer = CliRunner().invoke(COMMAND_LINES[program], [*command, "--help"])
        assert answer.exit_code == 0, (command, answer.output)
        assert all(option in answer.output for option in options), (command, options)


@pytest.mark.parametrize("target", ["service", "worker", "node"])
def test_entrypoints_and_commands_are_the_command_lines(target):
    stage = re.search(rf"^FROM \S+ AS {target}$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert stage
    command = json.loads(re.findall(r"^CMD (\[.*\])$", stage[1], re.MULTILINE)[-1])
    entrypoint = COMMAND_LINES["bank-node" if target == "node" else "consortium"]
    assert CliRunner().invoke(entrypoint, [*command, "--help"]).exit_code == 0


def test_the_demos_plan_is_one():
    plan = Plan.model_validate_json((REPOSITORY / "docker/demo/plan.json").read_bytes())
    TypeAdapter(LearningSettings).validate_python(plan.learning)
    assert plan.cohort.min_banks == 3


def test_make_env_writes_random_passwords_once_and_for_its_owner_alone(tmp_path):
    script = tmp_path / "make-env.sh"
    shutil.copy(REPOSITORY / "docker/make-env.sh", script)
    subprocess.run([script], check=True, capture_output=True)
    written = tmp_path / ".env"
    assert written.stat().st_mode & 0o777 == 0o600
    content = written.read_text()
    values = dict(line.split("=") for line in content.splitlines())
    assert set(values) == set(PASSWORDS)
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in values.values())
    assert len(set(values.values())) == 2
    assert subprocess.run([script], check=False, capture_output=True).returncode != 0
    assert written.read_text() == content


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode != 0,
    reason="docker has no compose plugin here",
)
def test_compose_itself_accepts_the_file():
    subprocess.run(
        ["docker", "compose", "-f", COMPOSE, "--profile", "demo", "config", "--quiet"],
        env=os.environ | PASSWORDS, check=True,
    )  # fmt: skip
