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


def test_of_kubernetes_containers_only_workers_have_the_key():
    deployments = [made for made in documents() if made.get("kind") == "Deployment"]
    known = {}
    for made in deployments:
        assert (
            made["spec"]["selector"]["matchLabels"]
            == (made["spec"]["template"]["metadata"]["labels"])
        )
        (container,) = made["spec"]["template"]["spec"]["containers"]
        known[made["metadata"]["name"]] = {one["name"] for one in container["env"]}
    assert known == {
        "nbqueue-worker": {"NBQUEUE_KEY", "NBQUEUE_BROKER"},
        "nbqueue-beat": {"NBQUEUE_BROKER"},
        "nbqueue-flower": {"NBQUEUE_BROKER"},
    }


def test_every_service_of_compose_is_built_of_what_is_there():
    (compose,) = [made for made in documents() if "services" in made]
    services = compose["services"]
    assert set(services) == {"redis", "worker", "beat", "flower"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
    keys = {name for name, one in services.items() if "NBQUEUE_KEY" in one.get("environment", ())}
    assert keys == {"worker"}


def test_flower_is_reached_from_the_host_alone():
    (compose,) = [made for made in documents() if "services" in made]
    flower = compose["services"]["flower"]
    # Within its container it has to listen for the host, whose port is the host's own.
    assert "--address=0.0.0.0" in flower["command"]
    assert flower["ports"] == ["127.0.0.1:5555:5555"]


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
