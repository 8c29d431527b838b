"""What the service tells of changes, as they happen."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Topic(StrEnum):
    STUDY = "study"
    TRIAL = "trial"
    WORKER = "worker"


class EventKind(StrEnum):
    """What happened; of several things in one transaction, the first of these is told."""

    DELETED = "deleted"
    CREATED = "created"
    STATE = "state"
    """Its state is another one."""
    FINALIST = "finalist"
    """Something about it as a finalist is new."""
    JOB = "job"
    """One of its jobs was leased, given back, or ended."""
    PROGRESS = "progress"
    """Its job is further on."""
    CHANGED = "changed"
    """Something else is new."""
    MISSED = "missed"
    """What happened meanwhile is no longer kept: read everything again."""


class EventData(BaseModel):
    """The `data` of an event. What is new is read from the resource itself."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    study: str | None
    trial: int | None
    kind: EventKind


class Event(BaseModel):
    """Numbers rise; one that was seen is never followed by a smaller one that was not."""

    model_config = ConfigDict(frozen=True)

    number: int
    topic: Topic
    data: EventData
