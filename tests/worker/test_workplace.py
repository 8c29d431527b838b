"""A worker's folders."""

from worker.workplace import Workplace


def test_what_killed_workers_left_is_removed_by_the_first_one_only(tmp_path):
    workplace = Workplace(home=tmp_path, artefacts=None, threads=1)
    left = workplace.work / "7-1"
    left.mkdir(parents=True)
    with workplace.occupied():
        assert not left.exists()
        left.mkdir()
        with Workplace(home=tmp_path, artefacts=None, threads=1).occupied():
            assert left.exists()


def test_a_job_starts_in_an_empty_folder_and_leaves_none(workplace, grant, some_work):
    mine = grant(some_work)
    stale = workplace.work / "1-1"
    stale.mkdir(parents=True)
    (stale / "old").write_text("")
    with workplace.folder(mine) as folder:
        assert folder == stale
        assert list(folder.iterdir()) == []
    assert not folder.exists()
