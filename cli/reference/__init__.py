"""The pages of docs/reference, from the code: `python -m cli.reference PAGE > docs/reference/PAGE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cli.reference import api, command, settings, study_file

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command.reference,
    "study-file.md": study_file.reference,
    "study.schema.json": study_file.study_schema_text,
    "distillation.schema.json": study_file.distillation_schema_text,
    "settings.md": settings.reference,
    "api.md": api.reference,
}
"""What writes each."""

reference, SHAPES = command.reference, command.SHAPES
