"""The calibrations that a home keeps: one file each, in a folder for each hardware key."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from client import Client, ProblemError
from protocol.calibration import CalibrationRecord

FOLDER = "calibrations"


def keep(home: Path, record: CalibrationRecord) -> Path:
    """Write the calibration into the home; where it is now."""
    target = home / FOLDER / record.hardware_key / f"{record.profile.key}-{record.id[:12]}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_text(record.model_dump_json() + "\n", encoding="utf-8")
    partial.replace(target)
    return target


def kept(home: Path, profile_key: str) -> list[CalibrationRecord]:
    """What the home keeps of this device profile, the newest first; files that are none are left out."""
    found = []
    for path in sorted((home / FOLDER).glob(f"*/{profile_key}-*.json")):
        try:
            found.append(CalibrationRecord.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return sorted(found, key=lambda record: record.taken_at, reverse=True)


def offer(client: Client, home: Path, profile_key: str) -> None:
    """Send the service what the home keeps of this device profile; one that it refuses is none for it."""
    for record in kept(home, profile_key):
        try:
            client.calibrations.upload(record)
        except ProblemError as error:
            if error.problem.status >= 500:
                raise
