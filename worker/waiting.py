"""A call that may be left alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """The call in a thread of its own, which ends with the process: nobody has to wait until it returns."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._answer: Future[T] = Future()
        Thread(target=self._run, args=(call,), name="waiting", daemon=True).start()

    def _run(self, call: Callable[[], T]) -> None:
        try:
            answer = call()
        except BaseException as error:  # raised where the answer is wanted
            self._answer.set_exception(error)
        else:
            self._answer.set_result(answer)

    def answered(self, within_s: float) -> bool:
        """Whether it has returned, or raised; waits so long for it."""
        try:
            self._answer.exception(timeout=within_s)
        except TimeoutError:
            return False
        return True

    def answer(self) -> T:
        """What it returned, or raises what it raised; waits for that."""
        return self._answer.result()
