"""One HTTP exchange with the service: retries, and refusals turned into errors."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import httpx
from pydantic import ValidationError

from client.errors import ClientError, InvalidAddress, InvalidToken, ProblemError, UnexpectedAnswer, Unreachable
from protocol.problem import Problem
from protocol.secrets import TOKEN_PATTERN, TOKEN_VARIABLE

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
TIMEOUT_S = 30.0
"""For one answer of the service."""

_CONNECT_S = 5.0
_BUSY = httpx.codes.SERVICE_UNAVAILABLE


class Transport:
    """Sends requests below `{base_url}/v1`; may be used from several threads.

    A call that is safe to repeat is repeated on connection errors and on 503, with growing pauses. These, and from
    the second one on the attempts that nobody answered in time, add up to `patience_s`: a service that hangs is not
    waited for many times, and what was lost once is sent once more.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        patience_s: float,
        timeout_s: float = TIMEOUT_S,
        wire: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._timeout = clock, _timeout(timeout_s)
        self._patience_s = patience_s
        self.pause = pause
        self._root = base_url.rstrip("/")
        try:
            url = httpx.URL(self._root)
        except httpx.InvalidURL as error:
            raise InvalidAddress(f"{base_url!r} is not an address of a service: {error}") from error
        if url.port is not None and not 0 < url.port < 2**16:
            raise InvalidAddress(f"{base_url!r} is not an address of a service: there is no port {url.port}")
        if url.scheme not in ("http", "https") or not url.host:
            raise InvalidAddress(f"{base_url!r} is not an address of a service; write http://HOST:PORT")
        token = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
        if token and re.fullmatch(TOKEN_PATTERN, token.strip()) is None:
            raise InvalidToken(f"the token is none of Stillhouse: it begins with `sth_`; look at {TOKEN_VARIABLE}")
        authorised = {"Authorization": f"Bearer {token.strip()}"} if token else {}
        # A proxy that the environment names is for other machines, never for this one.
        self._http = httpx.Client(
            headers=authorised, timeout=self._timeout, transport=wire, trust_env=not _is_local(url.host)
        )

    def close(self) -> None:
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        headers: dict[str, str] | None = None,
        safe: bool = True,
        timeout_s: float | None = None,
        accept: tuple[int, ...] = (),
    ) -> httpx.Response:
        """The answer, if it is a success or one of `accept`. `safe` calls may be sent again.

        Raises:
            ProblemError: refused, with the reason.
            Unreachable: no answer within the transport's patience.
        """
        timeout = self._timeout if timeout_s is None else _timeout(timeout_s)

        def send() -> httpx.Response:
            body = content() if content is not None else None
            return self._http.request(
                method, self._root + "/v1" + path, json=json, content=body, headers=headers, timeout=timeout
            )

        response = self._patiently(send, f"{method} {path}", safe)
        if not response.is_success and response.status_code not in accept:
            raise refusal(response)
        return response

    def pages(self, path: str) -> Iterator[httpx.Response]:
        """The answers to a GET, page by page: each names the next one, the last one none.

        Raises:
            ProblemError, Unreachable: as `call`.
        """
        following: str | None = path
        while following is not None:
            answer = self.call("GET", following)
            yield answer
            following = _next_page(answer)

    @contextmanager
    def stream(
        self, path: str, *, headers: dict[str, str] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The body of a GET, block by block; `timeout_s` is how long none may come.

        Raises:
            ProblemError, Unreachable: as `call`; also when the body breaks off.
        """
        timeout = self._timeout if timeout_s is None else _timeout(timeout_s)

        def send() -> httpx.Response:
            request = self._http.build_request("GET", self._root + "/v1" + path, headers=headers, timeout=timeout)
            return self._http.send(request, stream=True)

        response = self._patiently(send, f"GET {path}", safe=True)
        try:
            if not response.is_success:
                response.read()
                raise refusal(response)
            yield response.iter_bytes()
        except httpx.TransportError as error:
            raise Unreachable(f"{self._root} broke off while answering GET {path}: {_cause(error)}") from error
        finally:
            response.close()

    def _patiently(self, send: Callable[[], httpx.Response], what: str, safe: bool) -> httpx.Response:
        waited_s, tries = 0.0, 0
        pause_s, left_s = _FIRST_PAUSE_S, self._patience_s if safe else 0.0
        while True:
            tries += 1
            asked_s = 0.0
            begun_s = self._clock()
            try:
                response = send()
            except httpx.TransportError as error:
                met: tuple[str, Exception] | httpx.Response = (_cause(error), error)
                spent_s = self._clock() - begun_s
                waited_s += spent_s
                if isinstance(error, httpx.TimeoutException) and tries > 1:
                    left_s -= spent_s
            else:
                if response.status_code != _BUSY:
                    return response
                met, asked_s = response, _retry_after(response)
            if left_s <= 0:
                if isinstance(met, httpx.Response):
                    return met
                raise Unreachable(
                    f"{self._root} did not answer {what}: tried {tries} time{'s' if tries > 1 else ''}"
                    f" in {waited_s:.1f} s, the last time: {met[0]}{_advice(met[1])}"
                ) from met[1]
            if isinstance(met, httpx.Response):
                met.close()
            paused_s = max(min(pause_s, left_s), min(asked_s, _LONGEST_PAUSE_S))
            self.pause(paused_s)
            waited_s += paused_s
            left_s -= pause_s
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def refusal(response: httpx.Response) -> ClientError:
    """The error that this answer is."""
    try:
        return ProblemError(Problem.model_validate_json(response.content))
    except ValidationError:
        return UnexpectedAnswer(
            f"{response.request.method} {response.request.url} answered {response.status_code} without saying why:"
            f" {response.text[:200]!r}; is it a Stillhouse service?"
        )


def _next_page(answer: httpx.Response) -> str | None:
    """The path of the next page, below our own root: behind a proxy the service knows its address only from inside."""
    link = answer.links.get("next", {}).get("url")
    if link is None:
        return None
    url = answer.url.join(link)
    _, version, path = url.raw_path.decode().partition("/v1")
    if not version:
        raise UnexpectedAnswer(f"{answer.request.method} {answer.url} names a next page outside the API: {link!r}")
    return path


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_S))


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0


def _cause(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _advice(error: Exception) -> str:
    refused = isinstance(error, httpx.ConnectError)
    return "; start a service with `stillhouse serve`, or name yours with --url" if refused else ""


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
