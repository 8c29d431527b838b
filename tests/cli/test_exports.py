"""Exports as folders."""

import pytest

from cli.errors import BadInputError
from cli.exports import download_exports


class Artefacts:
    """A service's exports; `error` is what the disk says."""

    def __init__(self, error=None):
        self.artefacts, self._error = self, error

    def download_folder(self, identity, folder, *, changed=()):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if self._error is not None:
            raise self._error
        folder.mkdir()


@pytest.fixture
def trials(trial, finalist):
    return [trial(1, finalist=finalist(report=0.7, ms=4.0)), trial(2)]


def test_every_finalist_gets_its_folder(study, trials, tmp_path):
    folders = download_exports(Artefacts(), study(), trials, tmp_path / "a" / "b")
    assert folders == {1: tmp_path / "a" / "b" / "trial-1"}
    assert folders[1].is_dir()


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(28, "No space left on device"), "No space left on device; make room, then try again"),
        (PermissionError(13, "Permission denied"), "Permission denied; name another folder"),
    ],
)
def test_a_failed_export_says_what_to_do_and_leaves_no_empty_folder(study, trials, tmp_path, error, advice):
    with pytest.raises(BadInputError, match=advice):
        download_exports(Artefacts(error), study(), trials, tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_said(study, trials, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(BadInputError, match="a file is in the way; name another folder"):
        download_exports(Artefacts(), study(), trials, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
