"""`stillhouse run`: a study from its file to its checkpoints, on this machine, with one command."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from rich.console import Console

from cli.calibrations import offer
from cli.display import Display, say
from cli.errors import BadInputError, CliError, ExitCode, StoppedError
from cli.exports import download_exports
from cli.home_lock import LOCK, home_lock
from cli.interrupts import Interrupts
from cli.lines import Happened, StudyLines, print_event, unheard
from cli.own_tokens import OwnTokens, own_tokens
from cli.ports import HOST, free_port
from cli.resuming import run_command
from cli.study_source import placed, read_study, refused
from cli.summary import print_summary
from cli.supervisor import ChildSpec, Supervisor
from client import Client, ClientError, ProblemError, Unreachable
from hardware.errors import BusyError
from hardware.lock import computing
from hardware.values import Device
from protocol.problem import STUDY_DIFFERS
from protocol.secrets import TOKEN_VARIABLE
from protocol.study import StudySpec
from protocol.views import StudyState, StudyView

POLL_S = 1.0
START_S = 60.0
"""How long the service may take to answer for the first time."""

STOP_S = 25.0
"""How long the processes may take to end: a worker's job gets 20 s to write its checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`hold`: whether the page stays up when the study has ended; `again`: a new study if the name is taken; `as_json`:
    what happens goes to stdout as JSON lines.
    """

    study_file: Path
    home: Path
    port: int
    hold: bool
    again: bool
    as_json: bool = False

    @property
    def happened(self) -> Happened:
        return print_event if self.as_json else unheard


def run(options: RunOptions, console: Console, interrupts: Interrupts) -> ExitCode:
    """Run or continue the study and print what came out.

    Raises:
        BadInputError: the study or an option cannot be used; nothing was started, or all of it is stopped again.
        StoppedError: somebody stopped the study meanwhile.
        CliError: a process of ours, or the study, failed.
        KeyboardInterrupt: all is stopped again.
    """
    spec = read_study(options.study_file)
    if not (options.home / LOCK).exists():
        free_port(options.port)  # before anything is written; where a run was before, its last processes may hold it
    # The stack last: our processes need their tokens until they have ended.
    with home_lock(options.home) as lock, ExitStack() as stack:
        port = free_port(options.port)
        display = StudyLines() if options.as_json else Display(console)
        supervisor = Supervisor(on_event=display.tell, keep_open=(lock,))
        session = _Session(options, spec, port, supervisor, display, console)
        try:
            return session.run(stack)
        except KeyboardInterrupt:
            say(console, "stopping ...")
            raise
        finally:
            interrupts.stopping(supervisor.hurry)
            supervisor.stop(grace_s=STOP_S)


class _Session:
    """One run between its start and its end."""

    def __init__(
        self,
        options: RunOptions,
        spec: StudySpec,
        port: int,
        supervisor: Supervisor,
        display: Display | StudyLines,
        console: Console,
    ) -> None:
        self._options, self._spec, self._console = options, spec, console
        self._supervisor, self._display = supervisor, display
        self._port = port
        self._address = f"http://{HOST}:{port}"

    def run(self, stack: ExitStack) -> ExitCode:
        self._start("serve", "--host", HOST, "--port", str(self._port), "--no-suggester")
        with closing(Client(self._address, token="", patience_s=0)) as client:
            self._wait_for_service(client)
        tokens = stack.enter_context(own_tokens(self._address, self._options.home))
        with closing(Client(self._address, token=tokens.user)) as client:
            offer(client, self._options.home, self._spec.target.key)
            study = resumed(client, created(client, self._spec, self._options), self._console)
            say(self._console, f"study {study.name}: {self._address}/studies/{study.name}")
            self._options.happened("started", {"study": study.name, "address": self._address})
            if study.ended_at is None or self._options.hold:
                self._start("suggest")
                self._start("worker", "--url", self._address, token=tokens.worker)
            study = self._followed(client, study.name, tokens)
            self._conclude(client, study)
            if self._options.hold:
                self._hold(tokens)
        return ExitCode.DONE

    def _start(self, name: str, *arguments: str, token: str = "") -> None:
        # -P: a folder in the working directory must not stand in for one of our packages.
        command = [sys.executable, "-P", "-m", "cli.main", name, "--home", str(self._options.home), "--supervised"]
        self._supervisor.start(
            ChildSpec(
                name=name,
                command=[*command, *arguments],
                log=self._log(name),
                environment={TOKEN_VARIABLE: token},  # also an empty one: ours may be another service's
            )
        )

    def _log(self, name: str) -> Path:
        return self._options.home / "logs" / f"{name}.log"

    def _wait_for_service(self, client: Client) -> None:
        deadline = time.monotonic() + START_S
        while True:
            self._supervisor.check()
            try:
                if client.healthy():
                    return
                met = "it is not well"
            except ClientError as error:
                met = str(error)
            if time.monotonic() > deadline:
                raise CliError(f"the service does not start: {met}; its log is {self._log('serve')}")
            time.sleep(0.1)

    def _followed(self, client: Client, name: str, tokens: OwnTokens) -> StudyView:
        """The study when it has ended or was stopped."""
        with self._display:
            while True:
                self._supervisor.check()
                tokens.keep()
                try:
                    # As a computation of ours: while a latency is taken, nobody asks and the service does not answer.
                    # Not waited for, because our processes are looked after meanwhile too.
                    with computing(Device.CPU, wait=False):
                        study, trials = client.studies.view(name), client.studies.trials(name)
                        self._display.show(study, trials)
                except BusyError:
                    pass
                except Unreachable as error:
                    self._display.tell(str(error))
                else:
                    if study.ended_at is not None or study.state is StudyState.STOPPED:
                        return study
                time.sleep(POLL_S)

    def _conclude(self, client: Client, study: StudyView) -> None:
        if study.state is StudyState.FAILED:
            raise failure(study, self._options)
        if study.state is StudyState.STOPPED:
            raise stoppage(study, self._options)
        trials = client.studies.trials(study.name)
        folders = download_exports(client, study, trials, self._options.home / "exports" / study.name)
        print_summary(self._console, study, trials, folders, self._address)
        told = {"study": study.name, "folders": {str(number): str(folder) for number, folder in folders.items()}}
        self._options.happened("completed", told)

    def _hold(self, tokens: OwnTokens) -> None:
        say(self._console, "\nThe dashboard stays up; Ctrl-C ends it.")
        try:
            while True:
                self._supervisor.check()
                tokens.keep()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            say(self._console, "")


def created(client: Client, spec: StudySpec, options: RunOptions) -> StudyView:
    try:
        if options.again and _exists(client, spec.name) is not None:
            return _created_beside(client, spec)
        return client.studies.create(spec).view
    except ProblemError as error:
        if error.problem.status >= 500:
            raise
        if error.code != STUDY_DIFFERS:
            raise refused(options.study_file, error) from error
        changes = "\n".join(f"    {line}" for line in error.problem.errors)
        raise BadInputError(
            f"study {spec.name} exists and was started with other settings:\n{changes}\n"
            f"Take them back to continue it, or start a new study beside it with --again."
        ) from error


def _created_beside(client: Client, spec: StudySpec) -> StudyView:
    """NAME-2, or the first one after it that is free or that these settings started and that has not ended."""
    for number in count(2):
        candidate = spec.model_copy(update={"name": f"{spec.name}-{number}"})
        found = _exists(client, candidate.name)
        if found is None:
            return client.studies.create(candidate).view
        if found.digest == candidate.digest and found.ended_at is None:
            return found
    raise AssertionError("count does not end")


def resumed(client: Client, study: StudyView, console: Console) -> StudyView:
    """The study; one that was stopped goes on."""
    if study.state is not StudyState.STOPPED:
        return study
    study = client.studies.resume(study.name)
    say(console, f"study {study.name} was stopped and goes on: {study.state}")
    return study


def _exists(client: Client, name: str) -> StudyView | None:
    try:
        return client.studies.view(name)
    except ProblemError as error:
        if error.problem.status == 404:
            return None
        raise


def failure(study: StudyView, options: RunOptions) -> CliError:
    command = run_command(options.study_file, options.home, again=True)
    error = placed(options.study_file, study.error or "it does not say why")
    message = f"study {study.name} failed: {error}\nOnce that is mended:\n    {command}"
    broke = study.failure is None or study.failure.retriable
    # A study that failed before its first trial, and not because something broke, cannot be done as it was asked for.
    return CliError(message) if broke or any(study.trials.values()) else BadInputError(message)


def stoppage(study: StudyView, options: RunOptions) -> StoppedError:
    command = run_command(options.study_file, options.home, again=options.again)
    return StoppedError(f"somebody stopped study {study.name}; nothing is lost. To continue:\n    {command}")
