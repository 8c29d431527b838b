"""A worker's folders."""

import pytest

from worker.errors import WorkerSetupError
from worker.workplace import Workplace


def test_a_home_that_is_a_file_is_named(tmp_path):
    (tmp_path / "home").write_text("")
    place = Workplace(home=tmp_path / "home", artefacts=None, threads=1)
    with pytest.raises(WorkerSetupError, match=r"home cannot be used: .*--home"), place.occupied():
        pass


def test_what_killed_workers_left_is_removed_by_the_first_one_only(tmp_path):
    workplace = Workplace(home=tmp_path, artefacts=None, threads=1)
    left = workplace.work / "7-1"
    left.mkdir(parents=True)
    with workplace.occupied():
        assert not left.exists()
        left.mkdir()
        with Workplace(home=tmp_path, artefacts=None, threads=1).occupied():
            assert left.exists()


def test_a_job_starts_in_an_empty_folder_of_its_own_and_leaves_none(workplace, grant, some_work):
    with workplace.folder(grant(some_work)) as folder:
        (folder / "checkpoint").write_text("")
        # Another worker of this home has a job of the same number, from another service.
        with workplace.folder(grant(some_work)) as other:
            assert list(other.iterdir()) == []
        assert (folder / "checkpoint").exists()
    assert list(workplace.work.iterdir()) == []
