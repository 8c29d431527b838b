"""Log lines about a job, that say which."""

from __future__ import annotations

import logging

from protocol.jobs import Grant

JobLog = logging.LoggerAdapter[logging.Logger]


def job_log(log: logging.Logger, grant: Grant) -> JobLog:
    """The log, whose records have the attributes `study`, `trial` (None where it is of none), `job` and `attempt`."""
    ids = {"study": grant.study, "trial": grant.trial, "job": grant.job, "attempt": grant.attempt}
    return logging.LoggerAdapter(log, ids)
