"""Files and folders on their way to the service and back, over a wire that keeps them in memory."""

import hashlib

import httpx
import pytest

from client import ArtefactError, Client, Unreachable
from protocol.artefact import manifest_of


class Storage:
    """An artefact service: a dict behind HTTP."""

    def __init__(self):
        self.content = {}
        self.asked = []

    def __call__(self, request):
        identity = request.url.path.rpartition("/")[2]
        self.asked.append(request.method)
        if request.method == "PUT":
            body = request.read()
            assert hashlib.sha256(body).hexdigest() == identity
            assert int(request.headers["Content-Length"]) == len(body)
            self.content[identity] = body
            return httpx.Response(201)
        if identity not in self.content:
            return httpx.Response(
                404, json={"title": "", "status": 404, "detail": "no such artefact", "code": "not_found"}
            )
        return httpx.Response(200, content=self.content[identity] if request.method == "GET" else b"")

    def count(self, method):
        return self.asked.count(method)


@pytest.fixture
def storage():
    return Storage()


@pytest.fixture
def client(storage, tmp_path):
    with Client("http://service:1", cache=tmp_path / "cache", wire=httpx.MockTransport(storage)) as client:
        yield client


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deep" / "weights.bin").write_bytes(bytes(range(256)) * 10_000)
    (folder / "deep" / "same.bin").write_bytes(bytes(range(256)) * 10_000)
    return folder


def test_a_folder_comes_back_as_it_was(client, folder, tmp_path):
    identity = client.artefacts.upload_folder(folder)
    client.artefacts.download_folder(identity, tmp_path / "back")
    assert manifest_of(tmp_path / "back") == manifest_of(folder)


def test_equal_files_are_sent_once(client, storage, folder):
    client.artefacts.upload_folder(folder)
    assert storage.count("PUT") == 3  # config, weights, manifest
    client.artefacts.upload_folder(folder)
    assert storage.count("PUT") == 3


def test_what_was_fetched_is_not_fetched_again(client, storage, folder, tmp_path):
    identity = client.artefacts.upload_folder(folder)
    client.artefacts.download_folder(identity, tmp_path / "one")
    fetched = storage.count("GET")
    client.artefacts.download_folder(identity, tmp_path / "two")
    shared = client.artefacts.shared_folder(identity)
    assert storage.count("GET") == fetched == 3
    assert manifest_of(shared) == manifest_of(folder)
    assert client.artefacts.shared_folder(identity) == shared


def test_a_download_into_an_equal_folder_changes_nothing(client, folder, tmp_path):
    identity = client.artefacts.upload_folder(folder)
    client.artefacts.download_folder(identity, tmp_path / "back")
    before = (tmp_path / "back").stat().st_ino
    client.artefacts.download_folder(identity, tmp_path / "back")
    assert (tmp_path / "back").stat().st_ino == before


def test_a_folder_with_something_else_in_it_is_left_alone(client, folder, tmp_path):
    identity = client.artefacts.upload_folder(folder)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "diary.txt").write_text("dear diary")
    with pytest.raises(ArtefactError, match="something else"):
        client.artefacts.download_folder(identity, mine)
    assert [path.name for path in mine.iterdir()] == ["diary.txt"]


def test_content_that_is_not_what_its_name_says_is_refused_and_not_kept(client, storage, folder, tmp_path):
    identity = client.artefacts.upload_folder(folder)
    weights = manifest_of(folder)["deep/weights.bin"]
    storage.content[weights] = storage.content[weights][:-1] + b"!"
    with pytest.raises(ArtefactError, match="other content"):
        client.artefacts.download_folder(identity, tmp_path / "back")
    left = {path.name for path in tmp_path.rglob("*")}
    assert "back" not in left
    assert weights not in left
    assert not [name for name in left if name.startswith(".")]


def test_a_download_that_breaks_off_leaves_nothing(tmp_path):
    def broken():
        yield b"some"
        raise httpx.ReadError("connection reset")

    wire = httpx.MockTransport(lambda request: httpx.Response(200, content=broken()))
    with Client("http://service:1", wire=wire) as client, pytest.raises(Unreachable, match="broke off"):
        client.artefacts.download_file("0" * 64, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_file_replaces_the_one_that_was_there(client, tmp_path):
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    identity = client.artefacts.upload_file(tmp_path / "a")
    client.artefacts.download_file(identity, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new"


def test_a_file_is_no_folder(client, tmp_path):
    (tmp_path / "a").write_text("text")
    identity = client.artefacts.upload_file(tmp_path / "a")
    with pytest.raises(ArtefactError, match="is no folder: the artefact is not a folder's manifest"):
        client.artefacts.download_folder(identity, tmp_path / "back")


def test_an_empty_or_missing_folder_is_no_artefact(client, tmp_path):
    with pytest.raises(ArtefactError, match="no file"):
        client.artefacts.upload_folder(tmp_path / "missing")
