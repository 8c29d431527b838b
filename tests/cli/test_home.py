"""Which folders can be a home."""

import pytest

from cli.errors import BadInputError
from cli.home import open_home


class Full:
    """A file on a disk without room."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def write(self, content):
        raise OSError(28, "No space left on device")


def test_a_home_is_made_and_stays_empty(tmp_path):
    open_home(tmp_path / "a" / "home")
    assert list((tmp_path / "a" / "home").iterdir()) == []


@pytest.mark.parametrize("home", ["file", "file/home"])
def test_a_file_is_no_home(tmp_path, home):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match=r"is a file, not a folder; .*--home"):
        open_home(tmp_path / home)


def test_a_home_that_may_only_be_read_is_named(tmp_path, monkeypatch):
    def refuse(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("cli.home.TemporaryFile", refuse)
    with pytest.raises(BadInputError, match=f"{tmp_path} cannot be used: Read-only file system"):
        open_home(tmp_path)


def test_a_disk_without_room_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("cli.home.TemporaryFile", lambda **options: Full())
    with pytest.raises(BadInputError, match="No space left on device"):
        open_home(tmp_path)
