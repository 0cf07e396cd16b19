"""The node's image as a bank runs it: it enrols, trains under ckks beside ordinary nodes, and holds the same model.

`make test-slow` runs this. It needs root and Debian's buildah; NODE_IMAGE names an image that is built already.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import NodeProcess, schema_of, simulated_rows
from tests.images.container import Container, new_volume
from tests.images.image import Image, image_of, mounted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(3600),  # from an empty cache on
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting an image needs root"),
]

DATA = "/data/transactions.parquet"
PLAN: dict[str, Any] = {
    "name": "trees",
    "learning": {"kind": "gbdt", "inputs": schema_of(6), "trees": 3, "max_depth": 3, "max_bin": 16},
    "protection": {"level": "ckks"},
}


class ImageNode(NodeProcess):
    """A bank's agent out of the image; its home is the image's volume."""

    def __init__(self, image: Image, folder: Path, url: str, name: str, token: str, data: Path) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        self.home = new_volume(folder / name, image, "/var/lib/consortium")
        self.container = Container(image, self.log, {"/var/lib/consortium": self.home, f"{DATA}:ro": data})
        done = self.container.run("enrol", "--url", url, "--name", name, "--token", token, "--data", DATA)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        self.container.start()

    def stop(self) -> None:
        self.container.stop()

    def status(self) -> Any:
        return json.loads(self.container.run("status", "--json").stdout)

    def models(self) -> Any:
        return json.loads(self.container.run("models", "--json").stdout)


@pytest.fixture(scope="module")
def image():
    with mounted(image_of("node")) as mounted_image:
        yield mounted_image


def test_a_bank_in_the_image_trains_with_banks_outside_to_the_same_model(tmp_path, image):
    tables = [simulated_rows(number, 1000, 6) for number in range(3)]
    with ConsortiumOfNodes(tmp_path, tables[:2]) as consortium:
        data = tmp_path / "rows.parquet"
        tables[2].to_parquet(data)
        token = consortium.service.cli("node", "invite", "bank-2", token=consortium.token)["token"]
        node = ImageNode(image, tmp_path, consortium.service.url, "bank-2", token, data)
        assert not node.container.healthy(), "nothing runs yet"
        consortium.nodes.append(node)
        node.start()

        view = consortium.finish(consortium.start_training(PLAN), timeout_s=300)
        assert len(view["banks"]) == 3
        assert all(bank["confirmed"] for bank in view["banks"])
        assert {one["digest"] for bank in consortium.nodes for one in bank.models()} == {view["model"]}
        assert view["protection"] == "ckks"

        uid = image.user[0]
        process = node.container.process
        assert process is not None
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in status
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert node.container.healthy()
        scored = node.container.run("score", DATA, "--out", "/tmp/scores.csv")  # the container's own
        assert scored.returncode == 0, scored.stderr
        assert node.home.joinpath("keystore.key").stat().st_uid == uid

        # As an engine stops it: one signal, and it ends by itself.
        process.terminate()
        assert process.wait(30) == 0


def test_the_image_runs_as_a_user_without_a_name_for_root(image):
    assert image.user == (10001, 10001)
    assert image.config["Entrypoint"] == ["bank-node"]
    assert set(image.config["Volumes"]) == {"/var/lib/consortium", "/var/cache/consortium"}


def test_the_image_has_none_of_the_services_code_and_nothing_of_the_build(image):
    assert not image.packages.joinpath("consortium").exists()
    assert not image.packages.joinpath("workers").exists()
    assert not list(image.packages.glob("pip*"))
    assert not list(image.packages.glob("setuptools*"))
    for left in ("run/secrets", "src", "build", "wheel", "root/.cache", "root/.config", "etc/pip.conf"):
        path = image.root / left
        assert not path.exists() or not any(path.iterdir()), left


def test_nobody_but_root_can_change_the_images_code(image):
    for folder, _, files in os.walk(image.root / "opt"):
        for name in ("", *files):
            stat = Path(folder, name).lstat()
            assert stat.st_uid == 0, Path(folder, name)
            assert Path(folder, name).is_symlink() or not stat.st_mode & 0o022, Path(folder, name)
