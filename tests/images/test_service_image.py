"""The service's and the workers' images: they start where only volumes can be written to, and cannot hold a key.

`make test-slow` runs this. It needs root and Debian's buildah; SERVICE_IMAGE and WORKER_IMAGE name images that are
built already.
"""

from __future__ import annotations

import os
import tomllib

import httpx
import pytest

from tests.common.servers import free_port, wait_for_port
from tests.images.container import Container
from tests.images.image import REPOSITORY, image_of, mounted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(3600),  # from an empty cache on
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting an image needs root"),
]


@pytest.fixture(scope="module", params=["service", "worker"])
def image(request):
    with mounted(image_of(request.param)) as mounted_image:
        yield mounted_image


@pytest.fixture(scope="module")
def service_image():
    with mounted(image_of("service")) as mounted_image:
        yield mounted_image


def test_no_module_that_reaches_a_key_is_in_it(image):
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = next(c["forbidden_modules"] for c in contracts if "cannot reach a key" in c["name"])
    assert len(forbidden) >= 8
    for module in forbidden:
        name = module.removeprefix("crypto.")
        assert not list(image.packages.glob(f"crypto/{name}.*")), module
        assert not list(image.packages.glob(f"crypto/__pycache__/{name}.*")), module
    # SEAL, which makes keys and decrypts, and the bank's own code.
    for package in ("tenseal*", "_tenseal*", "_sealapi*", "libtenseal*", "bank_node"):
        assert not list(image.packages.glob(package)), package
    assert not (image.root / "opt/consortium/bin/bank-node").exists()


def test_no_public_name_of_the_members_door_is_defined_in_it(image):
    source = "\n".join(path.read_text() for path in image.packages.glob("crypto/*.py"))
    for name in ("SecretKey", "SealingKey", "CommitteeKey", "Keystore", "Encryptor", "Decryptor", "AnswerRecord"):
        assert f"class {name}" not in source
    assert image.packages.joinpath("crypto/summation.py").exists()


def test_the_build_left_nothing_in_it(image):
    assert image.user == (10001, 10001)
    assert not list(image.packages.glob("pip*"))
    assert not list(image.packages.glob("setuptools*"))
    for left in ("run/secrets", "src", "build", "wheel", "root/.cache", "root/.config", "etc/pip.conf"):
        path = image.root / left
        assert not path.exists() or not any(path.iterdir()), left


def test_alone_it_serves_with_its_embedded_worker_and_makes_its_tables(tmp_path, service_image):
    port = free_port()
    service = Container(
        service_image, tmp_path / "service.log", {},
        environment={"CONSORTIUM_HOST": "127.0.0.1", "CONSORTIUM_PORT": str(port)},
    )  # fmt: skip
    service.start()
    try:
        assert service.process is not None
        wait_for_port(port, service.process, 60)
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).json() == {"status": "ok"}
        assert httpx.get(f"http://127.0.0.1:{port}/v1/openapi.json", timeout=60).status_code == 200
        token = service.run("token", "create", "ops", "--role", "admin")
        assert token.returncode == 0, token.stderr
        answer = httpx.get(
            f"http://127.0.0.1:{port}/v1/nodes", headers={"Authorization": f"Bearer {token.stdout.strip()}"}, timeout=60
        )
        assert answer.json()["nodes"] == []
        mounts = service.execute("cat", "/proc/self/mountinfo").stdout.splitlines()
        assert any(fields[4] == "/" and fields[5].startswith("ro") for fields in map(str.split, mounts))
    finally:
        service.stop()
