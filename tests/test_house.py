"""What holds for the house as a whole."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib

import pytest

from tests.rooms import ROOMS

HEAVY = ("torch", "transformers", "jax", "ax", "botorch", "sqlalchemy", "fastapi", "sklearn", "pandas")


def loaded_by(*modules: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after importing these modules."""
    code = f"import sys, {', '.join(modules)}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_rooms_are_owned_by_this_distribution_alone():
    owners = importlib.metadata.packages_distributions()
    for room in ROOMS:
        assert set(owners.get(room, [])) <= {"stillhouse"}, f"{room} belongs to {owners[room]}"


def test_the_build_ships_every_room(pytestconfig):
    settings = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())
    assert set(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(ROOMS)
    assert set(settings["tool"]["importlinter"]["root_packages"]) == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_type_checkers_of_users_read_every_room(pytestconfig, room):
    """PEP 561: without the file a script that imports the client is not checked at all."""
    assert (pytestconfig.rootpath / room / "py.typed").is_file()


def test_alembic_is_the_library_and_not_our_folder(pytestconfig):
    import alembic

    assert alembic.__file__ is not None
    assert not list((pytestconfig.rootpath / "alembic").rglob("__init__.py"))
    assert not list((pytestconfig.rootpath / "tests").rglob("__init__.py"))


def test_values_and_words_import_nothing_heavy():
    values = [f"{room}.values" for room in ("encoders", "distillation", "hardware", "optimization")]
    words = ["protocol.study_file", "protocol.jobs", "protocol.views", "search_space", "optimization.front"]
    assert loaded_by(*values, *words, "hardware.lock", "client") == set()


def test_command_line_starts_without_heavy_imports():
    assert loaded_by("cli.main") == set()


def test_the_web_process_never_loads_a_numerical_framework():
    assert loaded_by("service.server") <= {"sqlalchemy", "fastapi"}


@pytest.mark.parametrize(
    "extra", ["server", "worker", "jax", "tpu", "onnx", "cuda", "pandas", "optuna", "mlflow", "dev"]
)
def test_every_dependency_is_pinned(pytestconfig, extra):
    settings = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())
    pins = {
        line.split("==")[0]
        for line in (pytestconfig.rootpath / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = settings["project"]["dependencies"] + settings["project"]["optional-dependencies"][extra]
    for requirement in wanted:
        name = re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-")
        assert name in pins, f"{name} has no pin in constraints.txt"
