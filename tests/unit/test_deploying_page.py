"""What the pages about deploying and `binder/` say: manifests that parse, commands that exist."""

import configparser
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from nbqueue.cli import make_parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "notebooks" / "deploying.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def documents():
    return [made for block in blocks("yaml") for made in yaml.safe_load_all(block)]


def commands():
    for unit in blocks("ini"):
        yield re.search(r"ExecStart=(.*)", unit)[1]
    for made in documents():
        for service in made.get("services", {}).values():
            yield service["command"]
        spec = made.get("spec", {}).get("template", {}).get("spec", {})
        for container in spec.get("containers", ()):
            yield shlex.join(container["args"])


@pytest.mark.parametrize("command", [c for c in commands() if "nbqueue " in c])
def test_commands_are_ones_that_there_are(command):
    words = shlex.split(command)
    assert words[0].endswith("nbqueue")
    options, _ = make_parser().parse_known_args(words[1:])
    assert callable(options.command)


def test_the_units_are_whole():
    for unit in blocks("ini"):
        parsed = configparser.ConfigParser(strict=True, interpolation=None)
        parsed.read_string(unit)
        assert parsed["Service"]["EnvironmentFile"] == "/etc/nbqueue.env"
        assert parsed["Install"]["WantedBy"]


def test_every_container_of_kubernetes_knows_key_and_broker():
    deployments = [made for made in documents() if made.get("kind") == "Deployment"]
    assert {made["metadata"]["name"] for made in deployments} == {"nbqueue-worker", "nbqueue-beat"}
    for made in deployments:
        assert (
            made["spec"]["selector"]["matchLabels"]
            == (made["spec"]["template"]["metadata"]["labels"])
        )
        (container,) = made["spec"]["template"]["spec"]["containers"]
        assert {one["name"] for one in container["env"]} == {"NBQUEUE_KEY", "NBQUEUE_BROKER"}


def test_every_service_of_compose_is_built_of_what_is_there():
    (compose,) = [made for made in documents() if "services" in made]
    services = compose["services"]
    assert set(services) == {"redis", "worker", "beat", "flower"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)


def test_binders_scripts_run(tmp_path):
    made = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())
    assert any(str(one).startswith("redis-server") for one in made["dependencies"])
    for name in ("postBuild", "start"):
        path = ROOT / "binder" / name
        assert os.access(path, os.X_OK)
        subprocess.run(["bash", "-n", str(path)], check=True)
    # `nbqueue` stands for itself here: what `start` does is start it, and then what it is given.
    (tmp_path / "nbqueue").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/said\n')
    (tmp_path / "nbqueue").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(ROOT / "binder" / "start"), "sh", "-c", f"until [ -s {tmp_path}/said ]; do :; done"],
        env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path)},
        timeout=30,
    )
    assert done.returncode == 0
    assert (tmp_path / "said").read_text() == "up\n"
