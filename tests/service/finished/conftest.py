"""A finished study of the real service, whose jobs were answered by a script."""

import shutil
import sqlite3
from contextlib import closing, nullcontext

import httpx
import pytest

from client import Client
from protocol.jobs import FinalizeWork
from service.settings import sqlite_url
from service.suggester import Suggester


def through(http):
    """The service as a transport: no socket between client and service."""

    def answer(request):
        path = request.url.raw_path.decode()
        found = http.request(request.method, path, content=request.read(), headers=dict(request.headers))
        return httpx.Response(found.status_code, content=found.content, headers=dict(found.headers))

    return httpx.MockTransport(answer)


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """Where the finished study lies, once it was worked on: a database and its artefacts."""
    return tmp_path_factory.mktemp("kept") / "home"


@pytest.fixture(name="database_url")
def only_sqlite(request, tmp_path, empty_sqlite, kept):
    if "study" in request.fixturenames and kept.exists():
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    else:
        shutil.copy(empty_sqlite, tmp_path / "stillhouse.db")
    return sqlite_url(tmp_path)


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def connected(http):
    return through(http)


@pytest.fixture
def client(connected, pauses):
    with Client("http://testserver", wire=connected, pause=pauses.append) as client:
        yield client


@pytest.fixture
def export(client, tmp_path):
    """The id of a folder that every finalist exports."""
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "README.md").write_text("# demo\n")
    return client.artefacts.upload_folder(folder)


@pytest.fixture
def work(worker, store, answers, export):
    """Works on the study until nothing is left to be done."""
    answer = answers.to

    def to(work):
        outcome = answer(work)
        return outcome.model_copy(update={"export": export}) if isinstance(work, FinalizeWork) else outcome

    answers.to = to
    suggester = Suggester(store, nullcontext)

    def all_of_it():
        while suggester.step() or worker.work():
            pass

    return all_of_it


@pytest.fixture
def study(client, spec, kept, settings, request):
    """A study that is finished; the first test that asks for it works on it."""
    if not kept.exists():
        client.studies.create({**spec, "constraints": ["latency_p50 <= 2.6 ms"]})
        request.getfixturevalue("work")()
        shutil.copytree(settings.artefacts, kept / settings.artefacts.relative_to(settings.home))
        database, copy = (sqlite3.connect(folder / "stillhouse.db") for folder in (settings.home, kept))
        with closing(database), closing(copy):
            database.backup(copy)
    return client.studies.get("demo")
