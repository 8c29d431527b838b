"""Images, compose file and manifests: nothing here is built, but every command, file, port and path in them is ours."""

import re
import shlex
import warnings
from itertools import pairwise
from pathlib import Path

import compose_spec
import pytest
import yaml
from typer.main import get_command

from cli.main import app

ROOT = Path(__file__).parents[2] / "docker"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
MANIFESTS = [
    pytest.param(manifest, id=f"{manifest['kind']} {manifest['metadata']['name']}")
    for path in sorted((ROOT / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]
TARGETS = ("server", "worker-cpu", "worker-cuda", "worker-tpu")


def check(arguments):
    """These are arguments of `stillhouse` that its parser takes."""
    group = get_command(app)
    context = group.make_context("stillhouse", list(arguments), resilient_parsing=True)
    name, command, rest = group.resolve_command(context, list(arguments))
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, rest, parent=context, resilient_parsing=True)
        name, command, rest = command.resolve_command(context, rest)
    command.make_context(name, rest, parent=context).close()


def stages():
    """Name of each stage -> (what it starts from, its instructions)."""
    text = DOCKERFILE.replace("\\\n", " ")
    found = {}
    for part in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        base, _, name = head.partition(" AS ")
        found[name.strip()] = (base.strip(), re.findall(r"^([A-Z]+) (.*)$", body, flags=re.MULTILINE))
    return found


def containers():
    for parameter in MANIFESTS:
        (manifest,) = parameter.values
        template = manifest.get("spec", {}).get("template")
        for container in template["spec"]["containers"] if template else ():
            yield manifest, template["spec"], container


def test_an_argument_that_no_command_has_would_be_noticed():
    with pytest.raises(Exception, match="No such option"):
        check(["serve", "--no-such-option"])


@pytest.mark.parametrize("target", TARGETS)
def test_image_runs_a_command_that_there_is_as_nobody_special(target):
    base, instructions = stages()[target]
    assert base == "base"
    assert ("USER", "stillhouse") in stages()["base"][1]
    (command,) = [yaml.safe_load(value) for name, value in instructions if name == "CMD"]
    check(command)
    (copied,) = [value for name, value in instructions if name == "COPY"]
    assert f"--from=build-{target} " in copied
    assert any(name == "HEALTHCHECK" for name, _ in instructions)


def test_images_are_pinned_and_installed_from_the_constraints():
    bases = [base for base, _ in stages().values() if base not in stages()]
    assert set(bases) == {"python:${PYTHON}"}
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-", DOCKERFILE, re.MULTILINE)
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert len(installs) == 1 + len(TARGETS)
    assert all(line.startswith("-c constraints.txt ") for line in installs)


def test_images_carry_every_room(pytestconfig):
    rooms = pytestconfig.rootpath.joinpath("pyproject.toml").read_text()
    packages = re.search(r"^packages = \[(.*?)\]", rooms, re.MULTILINE | re.DOTALL).group(1)
    copied = {value.split()[0] for name, value in stages()["source"][1] if name == "COPY"}
    assert set(re.findall(r'"(\w+)"', packages)) | {"alembic"} <= copied


def test_extras_of_the_images_exist(pytestconfig):
    text = pytestconfig.rootpath.joinpath("pyproject.toml").read_text()
    for extras in re.findall(r"'\.\[(.*?)\]'", DOCKERFILE):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", text, re.MULTILINE), extra


def test_compose_file_is_what_the_specification_says():
    text = (ROOT / "compose.yaml").read_text()
    assert set(compose_spec.PyCompose.from_yaml(text).service_names()) == set(COMPOSE["services"])
    with pytest.raises(Exception, match=r"no_such_key|unknown"):
        compose_spec.PyCompose.from_yaml(text.replace("restart:", "no_such_key:", 1))


@pytest.mark.parametrize(
    "name", [name for name, service in COMPOSE["services"].items() if "stillhouse" in service["image"]]
)
def test_service_of_the_compose_file_runs_a_command_that_there_is(name):
    service = COMPOSE["services"][name]
    target = service["image"].removeprefix("stillhouse-")
    assert target in TARGETS
    if "build" in service:
        assert service["build"]["target"] == target
        assert (ROOT.parent / service["build"]["dockerfile"]).is_file()
    check(service.get("command") or next(yaml.safe_load(value) for key, value in stages()[target][1] if key == "CMD"))
    for mount in service.get("volumes", ()):
        volume, path = mount.split(":")
        assert volume in COMPOSE["volumes"]
        assert re.search(rf"STILLHOUSE_(HOME|LOCK_DIR)={path} ", DOCKERFILE)


def workers():
    """Name of each worker of the compose file -> its service."""
    return {name: service for name, service in COMPOSE["services"].items() if name.startswith("worker")}


def test_workers_of_one_machine_share_their_locks():
    (folder,) = re.findall(r"STILLHOUSE_LOCK_DIR=(\S+)", DOCKERFILE)
    assert f"install --directory --owner=stillhouse /var/lib/stillhouse {folder}" in DOCKERFILE
    mounts = {name: [mount for mount in service["volumes"] if folder in mount] for name, service in workers().items()}
    assert mounts == {name: [f"locks:{folder}"] for name in ("worker", "worker-cuda")}


def test_no_two_workers_of_a_cluster_share_a_node():
    """Their locks do not: each pod has its own folder."""
    deployments = {manifest["metadata"]["name"]: manifest for (manifest,) in (one.values for one in MANIFESTS)}
    found = {name: one for name, one in deployments.items() if name.startswith("stillhouse-worker-")}
    for name, manifest in found.items():
        (term,) = manifest["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        (expression,) = term["labelSelector"]["matchExpressions"]
        assert (term["topologyKey"], expression["key"]) == ("kubernetes.io/hostname", "app")
        assert set(expression["values"]) == set(found), name
        assert manifest["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


def test_a_worker_on_a_tpu_only_measures():
    (arguments,) = [container["args"] for _, _, container in containers() if "worker-tpu" in container["image"]]
    kinds = [value for name, value in pairwise(arguments) if name == "--kind"]
    assert set(kinds) == {"calibrate", "measure"}


def test_the_password_of_the_compose_file_stays_where_it_is(pytestconfig):
    for name in (".gitignore", ".dockerignore"):
        assert "docker/.env" in pytestconfig.rootpath.joinpath(name).read_text().splitlines()
    head = (ROOT / "compose.yaml").read_text().partition("\nname:")[0].splitlines()
    assert "POSTGRES_PASSWORD" in head[2]
    assert "docker compose" not in "".join(head[:3])


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_manifest_is_what_its_schema_says(manifest):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the validator's own dependencies
        import kubernetes_validate

        kubernetes_validate.validate(manifest, "1.31", strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**manifest, "no_such_key": 1}, "1.31", strict=True)


def test_containers_run_commands_and_images_that_there_are():
    found = list(containers())
    assert len(found) == 6
    for manifest, pod, container in found:
        target, _, version = container["image"].removeprefix("stillhouse-").partition(":")
        assert (target in TARGETS, version) == (True, "0.1.0"), manifest
        check(container["args"])
        assert pod["securityContext"]["runAsUser"] == int(re.search(r"--uid (\d+)", DOCKERFILE).group(1))
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes


def test_probes_ask_what_the_service_answers(tmp_path):
    from service.app import create_app
    from service.settings import Settings, sqlite_url

    routes = {
        getattr(route, "path", "")
        for route in create_app(Settings(home=tmp_path, database_url=sqlite_url(tmp_path))).routes
    }
    asked = {
        probe["httpGet"]["path"]
        for _, _, container in containers()
        for probe in probes(container)
        if "httpGet" in probe
    }
    assert asked == {"/healthz", "/readyz"}
    assert asked <= routes
    assert "/healthz" in DOCKERFILE


def probes(container):
    return [value for name, value in container.items() if name.endswith("Probe")]


def test_environment_of_the_containers_is_known(pytestconfig):
    ours = "\n".join(
        path.read_text()
        for room in ("cli", "service", "worker", "hardware")
        for path in pytestconfig.rootpath.glob(f"{room}/**/*.py")
    )
    text = DOCKERFILE + (ROOT / "compose.yaml").read_text()
    text += "".join(path.read_text() for path in (ROOT / "kubernetes").glob("*.yaml"))
    named = set(re.findall(r"STILLHOUSE_[A-Z_]+", text))
    later = {"STILLHOUSE_TOKEN"}
    assert {name for name in named - later if name not in ours} == set()


def test_worker_beats_where_its_image_looks(tmp_path):
    import subprocess

    from cli.heartbeat import Heartbeat

    path = tmp_path / "heartbeat"
    (check_line, *_) = [value for name, value in stages()["worker-cpu"][1] if name == "HEALTHCHECK"]
    command = check_line.partition("CMD ")[2]
    environment = {"STILLHOUSE_HEARTBEAT": str(path), "PATH": "/usr/bin:/bin"}
    assert subprocess.run(["sh", "-c", command], env=environment, check=False, capture_output=True).returncode != 0
    Heartbeat(environment).beat()
    assert subprocess.run(["sh", "-c", command], env=environment, check=False).returncode == 0
    import os

    os.utime(path, (1e9, 1e9))
    assert subprocess.run(["sh", "-c", command], env=environment, check=False).returncode != 0
    assert shlex.split(command)[0] == "find"
