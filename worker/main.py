"""The worker's process: everything heavy is imported with this module."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping

import torch
from transformers.utils import logging as transformers_logging

from client import Client
from hardware.backend import supports
from hardware.cores import available_cores
from hardware.values import DeviceProfile
from protocol.jobs import JobKind
from worker.announcement import drift_watch, targets
from worker.errors import WorkerSetupError
from worker.loop import Loop
from worker.runners.registry import runners
from worker.settings import WorkerSettings
from worker.shutdown import Shutdown
from worker.tenure import Ending
from worker.workplace import Workplace

log = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""How long a result or an artefact is offered to a service that does not answer."""

MEASURING = (JobKind.CALIBRATE, JobKind.MEASURE)


def work(
    settings: WorkerSettings,
    shutdown: Shutdown,
    tell: Callable[[str], None],
    happened: Callable[[str, Mapping[str, object]], None],
) -> None:
    """Serve jobs until `shutdown`; the process may have to end with a job's thread still running, and then does.

    `tell` gets the little that people must do something about: it is in the log, too. `happened` gets each event and
    what there is to say of it, for programs.

    Raises:
        WorkerSetupError: it may only measure, and cannot; or its home cannot be used.
        ProblemError: the service refuses this worker.
    """

    def told(line: str) -> None:
        tell(line)
        happened("note", {"message": line})

    threads = settings.threads or len(available_cores())
    torch.set_num_threads(threads)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # Who takes no measurements measures nothing: what it finalizes is measured by another one.
    measures = any(kind in MEASURING for kind in settings.kinds)
    found = targets() if measures else ()
    kinds = tuple(kind for kind in settings.kinds if found or kind not in MEASURING)
    if not kinds:
        reason = supports(DeviceProfile())
        raise WorkerSetupError(f"nothing can be done here of {_words(settings.kinds)}: {reason}")
    with Client(
        settings.url,
        token=settings.token,
        patience_s=PATIENCE_S,
        cache=settings.home / "cache" / "artefacts",
        pause=shutdown.pause,
    ) as client:
        workplace = Workplace(
            home=settings.home, artefacts=client.artefacts, threads=threads, cache_bytes=settings.cache_bytes
        )
        with workplace.occupied():
            loop = Loop(
                settings.name,
                client.jobs,
                runners(workplace, kinds),
                targets=targets if found else tuple,
                watch=drift_watch() if found else None,
                upload=client.artefacts.upload_folder,
                work=workplace.work,
                shutdown=shutdown,
                tell=told,
                happened=happened,
            )
            measured = tuple(target.label for target in found)
            log.info("worker %s at %s: %s; measures %s", settings.name, settings.url, _words(kinds), _words(measured))
            started = {"worker": settings.name, "url": settings.url, "kinds": list(kinds), "targets": list(measured)}
            happened("started", started)
            ending = loop.run()
    log.info("worker %s ends", settings.name)
    happened("ended", {"worker": settings.name})
    if ending is Ending.GIVEN_UP:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"
