"""How a worker may be set up."""

import pytest

from protocol.jobs import PROTOCOL_VERSION, LeaseRequest
from worker.errors import WorkerSetupError
from worker.settings import LONGEST_NAME, WorkerSettings


def test_the_longest_name_is_the_protocol_s(tmp_path):
    name = LONGEST_NAME * "w"
    settings = WorkerSettings(url="http://127.0.0.1:1", home=tmp_path, name=name)
    assert LeaseRequest(worker=settings.name, protocol_version=PROTOCOL_VERSION, kinds=()).worker == name


@pytest.mark.parametrize("name", ["", (LONGEST_NAME + 1) * "w"])
def test_a_name_that_no_service_takes_is_refused(tmp_path, name):
    with pytest.raises(WorkerSetupError, match=f"1 to 200 characters, got {len(name)}"):
        WorkerSettings(url="http://127.0.0.1:1", home=tmp_path, name=name)
