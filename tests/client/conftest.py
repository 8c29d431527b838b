"""A real service on a real socket, and a client of it."""

import threading

import pytest
import uvicorn

from client import Client
from protocol.study_file import parse_study
from service.app import create_app
from service.server import bind
from service.settings import Settings

STUDY = "teacher: built-in\ntask: {dataset: docstrings}\nbudget: {trials: 4}\n"


class Server(uvicorn.Server):
    def install_signal_handlers(self):
        """Not in a thread."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    settings = Settings.from_environment({}, home=tmp_path_factory.mktemp("home"), port=0)
    with bind(settings) as listening:
        server = Server(uvicorn.Config(create_app(settings), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


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
