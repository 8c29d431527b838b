"""Threads that wait for each other."""

import os

from cli.waiting import WAIT_POLICY, passive_waiting


def test_the_policy_holds_while_libraries_are_loaded_and_is_not_handed_to_measurements(monkeypatch):
    monkeypatch.delenv(WAIT_POLICY, raising=False)
    with passive_waiting():
        assert os.environ[WAIT_POLICY] == "PASSIVE"
    assert WAIT_POLICY not in os.environ


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv(WAIT_POLICY, "ACTIVE")
    with passive_waiting():
        assert os.environ[WAIT_POLICY] == "ACTIVE"
    assert os.environ[WAIT_POLICY] == "ACTIVE"
