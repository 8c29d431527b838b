"""`stillhouse serve`: API and dashboard in this process, the suggester in a child."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from cli.errors import BadInputError, CliError
from cli.home import open_home
from cli.lines import Happened, print_event, unheard
from cli.logs import log_to_stderr
from cli.ports import free_port
from cli.supervised import when_orphaned
from cli.supervisor import ChildSpec, Supervisor
from protocol.settings_file import CONFIG_VARIABLE, printed
from protocol.settings_file import as_json as settings_as_json
from service.errors import PortTakenError, ServiceError, SettingsError, StoreUnusableError
from service.server import serve
from service.settings import DATABASE_VARIABLE, TABLE, Settings

log = logging.getLogger(__name__)

CHECK_S = 1.0
STOP_S = 10.0


def run_service(
    given: Mapping[str, Any],
    *,
    config: Path | None,
    with_suggester: bool,
    supervised: bool,
    print_config: bool,
    as_json: bool = False,
) -> None:
    """Serve until the process is told to end. What is `given` comes before the environment and the file `config`.

    With `as_json` stdout has a line for each thing that happens; the log goes to stderr all the same.

    Raises:
        BadInputError: a setting or the home cannot be used, or the port is taken. CliError: the service did not start.
    """
    try:
        found = Settings.found(config=config, **given)
        settings = Settings.of(found)
    except SettingsError as error:
        raise BadInputError(str(error)) from error
    if print_config:
        print(json.dumps(settings_as_json(found), indent=2) if as_json else printed(TABLE, found))
        return
    log_to_stderr()
    happened = print_event if as_json else unheard

    def announce(address: str) -> None:
        _announce(address)
        happened("listening", {"address": address})

    signal.signal(signal.SIGTERM, _end)
    if supervised:
        when_orphaned(lambda: os.kill(os.getpid(), signal.SIGTERM))
        # The supervisor is the only one who asks, on this machine; certificates are made for other names.
        settings = replace(settings, tls_certificate=None, tls_key=None)
    try:
        free_port(settings.port, settings.host)  # before anything is written or started
        if not supervised:
            open_home(settings.home)
        if with_suggester:
            with _suggester(settings, config, happened):
                serve(settings, announce)
        else:
            serve(settings, announce)
    except (SettingsError, PortTakenError, StoreUnusableError) as error:
        raise BadInputError(str(error)) from error
    except ServiceError as error:
        raise CliError(str(error)) from error
    finally:
        happened("ended", {})


@contextmanager
def _suggester(settings: Settings, config: Path | None, happened: Happened) -> Iterator[None]:
    """A suggester for as long as the block runs."""
    environment = {DATABASE_VARIABLE: settings.database_url}  # not on the command line: it may hold a password
    if config is not None:
        environment[CONFIG_VARIABLE] = str(config.absolute())

    def tell(line: str) -> None:
        log.warning(line)
        happened("note", {"message": line})

    supervisor = Supervisor(on_event=tell)
    # -P: a folder in the working directory must not stand in for one of our packages.
    command = [sys.executable, "-P", "-m", "cli.main", "suggest", "--home", str(settings.home), "--supervised"]
    log_file = settings.home / "logs" / "suggest.log"
    supervisor.start(ChildSpec(name="suggest", command=command, log=log_file, environment=environment))
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(supervisor, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()
        supervisor.stop(grace_s=STOP_S)


def _watch(supervisor: Supervisor, ended: threading.Event) -> None:
    while not ended.wait(CHECK_S):
        try:
            supervisor.check()
        except CliError as error:
            log.error("the service goes on without suggester: %s", error)
            return


def _announce(address: str) -> None:
    log.info("the service listens at %s", address)


def _end(number: int, frame: FrameType | None) -> None:
    # uvicorn has a handler of its own while it serves, and hands the signal on to this one when it has stopped.
    del number, frame
    raise SystemExit(0)
