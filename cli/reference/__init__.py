"""The pages of docs/reference, from the code: `python -m cli.reference PAGE > docs/reference/PAGE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cli.reference import api, command, settings, study_file
from protocol.study_schema import distillation_schema, schema_text, study_schema

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command.reference,
    "study-file.md": study_file.reference,
    "study.schema.json": lambda: schema_text(study_schema()),
    "distillation.schema.json": lambda: schema_text(distillation_schema()),
    "settings.md": settings.reference,
    "api.md": api.reference,
}
"""What writes each."""
