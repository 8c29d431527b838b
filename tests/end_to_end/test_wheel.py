"""The installed wheel, outside the checkout."""

import os
import subprocess
import sys
import venv

import pytest

from tests.rooms import ROOMS

pytestmark = pytest.mark.chaos


def test_a_wheel_carries_everything_it_needs(tmp_path, pytestconfig):
    def run(*command: str, **options: object) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    root = str(pytestconfig.rootpath)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", root)
    (wheel,) = (tmp_path / "dist").glob("stillhouse-*.whl")
    # A venv of its own that sees this one's dependencies, and not the checkout that is installed there for editing.
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv" / "bin" / "python")
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    dependencies = next(entry for entry in sys.path if entry.endswith("site-packages"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    code = (
        f"import site, sys; sys.path.append({dependencies!r})\n"
        "import service.store.migrate as migrate\n"
        f"assert {root!r} not in migrate.__file__\n"
        f"migrate.upgrade('sqlite:///{tmp_path}/wheel.db')\n"
        "import cli.main, service.server\n"
        "from importlib.metadata import packages_distributions\n"
        "owners = packages_distributions()\n"
        f"assert all(set(owners[room]) == {{'stillhouse'}} for room in {ROOMS!r}), owners\n"
    )
    run(python, "-c", code, env=environment)
