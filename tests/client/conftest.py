"""A real service on a real socket, and a client of it."""

import pytest

from client import Client
from protocol.study_file import parse_study
from tests.serving import served

STUDY = "teacher: built-in\ntask: {dataset: docstrings}\nbudget: {trials: 4}\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served(tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture
def client(address, tmp_path):
    with Client(address, cache=tmp_path / "cache") as client:
        yield client


@pytest.fixture
def spec():
    """A study of this name, and with these lines too."""

    def make(name, extra=""):
        return parse_study(f"name: {name}\n{STUDY}{extra}", origin="test", default_name=name)

    return make
