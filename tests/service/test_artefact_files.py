import hashlib
import resource
import signal
from contextlib import contextmanager

import pytest

from service.errors import HashMismatchError, InvalidError, StorageFullError
from service.store.artefact_files import ArtefactFiles


@pytest.fixture
def files(tmp_path):
    return ArtefactFiles(tmp_path / "artefacts")


def name_of(content):
    return hashlib.sha256(content).hexdigest()


def send(files, name, blocks):
    with files.upload(name) as upload:
        for block in blocks:
            upload.write(block)
        upload.finish()
        upload.place()


def stored(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


@contextmanager
def no_file_larger_than(size_bytes):
    """The kernel refuses to write more, as it does when a disk is full or a quota used up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_file_is_in_its_place_only_when_it_is_complete(files, tmp_path):
    name = name_of(b"two blocks")
    with files.upload(name) as upload:
        upload.write(b"two ")
        upload.write(b"blocks")
        assert not files.exists(name)
        upload.finish()
        upload.place()
    assert files.path(name).read_bytes() == b"two blocks"
    assert upload.size_bytes == 10
    assert stored(tmp_path) == [files.path(name)]


def test_nothing_is_left_of_an_upload_that_breaks_off(files, tmp_path):
    def broken():
        yield b"who"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        send(files, name_of(b"whole"), broken())
    assert stored(tmp_path) == []


def test_content_that_is_not_what_its_name_says_is_refused(files, tmp_path):
    with pytest.raises(HashMismatchError):
        send(files, name_of(b"this"), [b"that"])
    assert stored(tmp_path) == []


def test_same_file_may_arrive_twice(files, tmp_path):
    for _ in range(2):
        send(files, name_of(b"x"), [b"x"])
    assert stored(tmp_path) == [files.path(name_of(b"x"))]


def test_full_disk_is_said_and_nothing_is_left(files, tmp_path):
    content = bytes(1_000_000)
    with no_file_larger_than(100_000), pytest.raises(StorageFullError, match="cannot be stored") as refused:
        send(files, name_of(content), [content])
    assert (refused.value.status, refused.value.code) == (507, "storage_full")
    assert str(tmp_path) in str(refused.value)
    assert stored(tmp_path) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 63 + "/"])
def test_name_that_is_no_hash_never_becomes_a_path(files, name):
    with pytest.raises(InvalidError):
        files.path(name)
