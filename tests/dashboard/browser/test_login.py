"""Signing in and out, in a real browser at a service that asks for tokens."""

import re
from contextlib import closing

import pytest

from client import Client
from protocol.study import StudySpec
from protocol.tokens import CreateToken, Scope
from service.operations.tokens import create_token
from service.settings import sqlite_url
from service.store.migrate import upgrade
from service.store.unit_of_work import Store

pytestmark = pytest.mark.browser

SPEC = StudySpec.model_validate({"name": "guarded", "teacher": "built-in", "task": {"dataset": "docstrings"}})


@pytest.fixture(scope="module")
def closed(home, request):
    """The address of a service, a token that opens its pages, one that does not, and one that may change studies."""
    upgrade(sqlite_url(home))
    with closing(Store(sqlite_url(home))) as store, store.write() as uow:
        reader = create_token(uow, CreateToken(name="reader <b>", scope=Scope.READ_ONLY)).token
        worker = create_token(uow, CreateToken(name="gpu", scope=Scope.WORKER)).token
        user = create_token(uow, CreateToken(name="user", scope=Scope.USER)).token
    return request.getfixturevalue("address"), reader, worker, user


def test_a_token_opens_the_pages_until_one_signs_out(closed, browser):
    address, reader, worker, _ = closed
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/studies/nowhere?tab=1")
    assert page.url == f"{address}/login?next=/studies/nowhere%3Ftab%3D1"
    token, button, refusal = page.get_by_label("Token"), page.get_by_role("button"), page.get_by_role("alert")
    for wrong, words in (("guess", "no token of this service"), (worker, "opens no pages")):
        token.fill(wrong)
        button.click()
        refusal.get_by_text(words).wait_for()
    token.fill(reader)
    button.click()
    page.wait_for_url(f"{address}/studies/nowhere?tab=1")
    assert page.evaluate("document.cookie") == ""
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.goto(address)
    page.get_by_role("link", name="reader <b>").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert context.cookies() == []
    page.goto(address)
    assert page.url.startswith(f"{address}/login")
    context.close()


def test_who_may_only_read_sees_no_button_that_would_be_refused(closed, browser):
    address, reader, _, user = closed
    with Client(address, token=user) as client:
        client.studies.create(SPEC)
    shown = {}
    for token in (reader, user):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/login?next=/studies/{SPEC.name}")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button").click()
        actions = page.locator("[data-actions]")
        actions.get_by_text("Download", exact=True).wait_for()
        shown[token] = actions.get_by_role("button").all_inner_texts()
        context.close()
    assert shown == {reader: [], user: ["Stop", "Extend"]}


@pytest.mark.parametrize(
    "next_page", ["//evil.example/x", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_site(closed, browser, next_page):
    address, reader, *_ = closed
    page = browser.new_page()
    page.goto(f"{address}/login?next={next_page}")
    page.get_by_label("Token").fill(reader)
    page.get_by_role("button").click()
    page.wait_for_url(re.compile(rf"^{re.escape(address)}/$"))
    page.close()
