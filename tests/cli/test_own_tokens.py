"""A run lets its own processes in where the store of its home has tokens, and nobody afterwards."""

import pytest

from cli import own_tokens as module
from cli.own_tokens import LIFE, own_tokens
from client import Client, ProblemError
from protocol.jobs import PROTOCOL_VERSION, LeaseRequest
from protocol.tokens import Scope, TokenState
from service.operations.tokens import list_tokens

LEASE = LeaseRequest(worker="w", protocol_version=PROTOCOL_VERSION, kinds=(), wait_s=0)


def views(store):
    with store.read() as uow:
        return {each.scope: each for each in list_tokens(uow) if each.name != "mine"}


def test_a_run_at_an_open_service_makes_no_token(service, tmp_path):
    address, parts = service
    with own_tokens(address, tmp_path) as tokens:
        assert (tokens.user, tokens.worker) == ("", "")
        tokens.keep()
    assert views(parts.store) == {}


def test_a_run_at_a_closed_service_makes_the_tokens_that_it_needs_and_revokes_them(closed, tmp_path):
    address, store = closed
    with own_tokens(address, tmp_path) as tokens:
        with Client(address, token=tokens.user) as client:
            assert client.studies.list() == ()
            with pytest.raises(ProblemError, match="of scope user may not"):
                client.jobs.lease(LEASE)
        with Client(address, token=tokens.worker) as client:
            assert client.jobs.lease(LEASE) is None
        for view in views(store).values():
            assert view.expires_at - view.created_at == LIFE
    assert {view.state for view in views(store).values()} == {TokenState.REVOKED}


def test_a_run_that_lasts_keeps_its_tokens(closed, tmp_path, monkeypatch):
    address, store = closed
    with own_tokens(address, tmp_path) as tokens:
        before = views(store)
        tokens.keep()
        assert views(store) == before
        monkeypatch.setattr(module, "KEEP_S", 0.0)
        tokens.keep()
        after = views(store)
    assert all(after[scope].expires_at > before[scope].expires_at for scope in (Scope.USER, Scope.WORKER))
