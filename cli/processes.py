"""`stillhouse worker` and `stillhouse suggest`: processes that run until they are told to end."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from cli.errors import BadInputError, CliError, ExitCode, VersionError
from cli.heartbeat import BeatingStop, Heartbeat
from cli.home import open_home
from cli.lines import print_event, unheard
from cli.logs import log_to_stderr
from cli.supervised import tell_supervisor, when_orphaned
from cli.waiting import passive_waiting
from client import ClientError, InvalidAddress, ProblemError
from hardware.lock import computing
from hardware.values import Device
from protocol.problem import UPGRADE_NEEDED
from protocol.settings_file import as_json as settings_as_json
from protocol.settings_file import printed
from worker.errors import WorkerSetupError
from worker.settings import TABLE, WorkerSettings

ORPHAN_S = 2.0
"""How long a job may take to stop when the supervisor is gone: the service ends, too, and takes nothing more."""


def run_worker(
    given: Mapping[str, Any], *, config: Path | None, supervised: bool, print_config: bool, as_json: bool = False
) -> ExitCode:
    """What is `given` comes before the environment and the file `config`.

    With `as_json` stdout has a line for each thing that happens; the log goes to stderr all the same.

    Raises:
        BadInputError: settings or a home that cannot be used, or a service that refuses this worker.
        VersionError: it does so because of the worker's version.
    """
    try:
        found = WorkerSettings.found(config=config, **given)
        settings = WorkerSettings.of(found)
    except WorkerSetupError as error:
        raise BadInputError(str(error)) from error
    if print_config:
        print(json.dumps(settings_as_json(found), indent=2) if as_json else printed(TABLE, found))
        return ExitCode.DONE
    if not supervised:
        open_home(settings.home)
    log_to_stderr()
    from worker.shutdown import Shutdown

    shutdown = Shutdown(beat=Heartbeat().beat)
    shutdown.on_signals()
    if supervised:
        when_orphaned(lambda: shutdown.ask(grace_s=ORPHAN_S))
    with passive_waiting():
        from worker.main import work

    try:
        work(settings, shutdown, tell_supervisor, print_event if as_json else unheard)
    except WorkerSetupError as error:
        raise BadInputError(str(error)) from error
    except InvalidAddress as error:
        raise BadInputError(str(error)) from error
    except ProblemError as error:
        if error.code == UPGRADE_NEEDED:
            raise VersionError(f"the service at {settings.url} does not serve this worker: {error}") from error
        raise BadInputError(f"the service at {settings.url} refuses this worker: {error}") from error
    except ClientError as error:
        raise CliError(str(error)) from error
    return ExitCode.DONE


def run_suggester(given: Mapping[str, Any], *, config: Path | None, supervised: bool) -> ExitCode:
    """Raises: BadInputError: settings or a home that cannot be used. CliError: a database that does not answer."""
    from service.errors import ServiceError, SettingsError, StoreUnusableError
    from service.settings import Settings

    try:
        settings = Settings.from_environment(config=config, **given)
    except SettingsError as error:
        raise BadInputError(str(error)) from error
    if not supervised:
        open_home(settings.home)
    log_to_stderr()
    stop = threading.Event()
    _set_on_signals(stop)
    if supervised:
        when_orphaned(stop.set)
    from service import suggester

    try:
        with passive_waiting():  # all along: Ax is imported when it is first needed
            suggester.run_suggester(settings, lambda: computing(Device.CPU), BeatingStop(stop, Heartbeat()))
    except (SettingsError, StoreUnusableError) as error:
        raise BadInputError(str(error)) from error
    except ServiceError as error:
        raise CliError(str(error)) from error
    return ExitCode.DONE


def _set_on_signals(stop: threading.Event) -> None:
    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        # Not here: this may have interrupted the very wait that holds the event's lock.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
