"""What a worker offers to do."""

import pytest

from protocol.jobs import JobKind
from worker import main
from worker.errors import WorkerSetupError
from worker.settings import WorkerSettings
from worker.shutdown import Shutdown


def test_a_worker_that_may_only_measure_where_nothing_can_be_measured_refuses_to_start(tmp_path, monkeypatch):
    for module in ("worker.main", "worker.announcement"):
        monkeypatch.setattr(f"{module}.supports", lambda profile: "this system cannot fork")
    settings = WorkerSettings(url="http://127.0.0.1:1", home=tmp_path, kinds=(JobKind.MEASURE, JobKind.CALIBRATE))
    shutdown = Shutdown()
    shutdown.ask()
    with pytest.raises(WorkerSetupError, match="measure, calibrate: this system cannot fork"):
        main.work(settings, shutdown, print, lambda event, told: None)
