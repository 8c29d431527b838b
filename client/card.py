"""The model card of an export that was fetched, completed: by what was found out since, and what its owner says."""

from __future__ import annotations

import re
from pathlib import Path

from client.errors import InvalidArgument
from protocol.card import (
    FILE,
    hardware_text,
    latency_text,
    profile_text,
    verdict_text,
    with_front_matter,
    with_latencies,
    with_licence,
)
from protocol.study import StudySpec
from protocol.views import LatencyView

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multilingual|code")


def complete_card(
    folder: Path,
    spec: StudySpec,
    latency: LatencyView | None,
    *,
    license: str | None = None,  # noqa: A002 (as hubs call it)
    language: str | None = None,
) -> None:
    """Write into the folder's card what it does not say yet.

    A finalist that was measured on another machine than the one that trained it was exported without its latency.
    Licence and language are what the owner says: nobody else can know them.

    Raises:
        InvalidArgument: no hub knows such a licence or language.
    """
    check_owner(license, language)
    path = folder / FILE
    if not path.is_file():
        return
    card = before = path.read_text(encoding="utf-8")
    if latency is not None:
        card = with_latencies(card, _rows(spec, latency), verdict_text(latency.verdict, latency.notes))
    said = {"license": license, "language": language}
    card = with_front_matter(card, {name: value for name, value in said.items() if value is not None})
    if license is not None:
        card = with_licence(card, license)
    if card != before:
        path.write_text(card, encoding="utf-8")


def check_owner(license: str | None, language: str | None) -> None:  # noqa: A002 (as hubs call it)
    """Only the form: which licences there are is the hubs' to say.

    Raises:
        InvalidArgument.
    """
    if license is not None and not _LICENCE.fullmatch(license):
        raise InvalidArgument(f"license: {license!r} is no identifier such as apache-2.0, mit, cc-by-4.0 or other")
    if language is not None and not _LANGUAGE.fullmatch(language):
        raise InvalidArgument(f"language: {language!r} is no code such as en, de, pt-BR or multilingual")


def _rows(spec: StudySpec, latency: LatencyView) -> dict[str, str]:
    """The median, and the quantiles that the study judges; only of the median the interval is known here."""
    values = {"p50": latency.p50_s, "p90": latency.p90_s, "p99": latency.p99_s}
    judged = ["p50", *(str(name) for name in spec.judged_quantiles if name != "p50")]
    rows = {}
    for name in judged:
        bounds = (latency.low_s, latency.high_s) if name == "p50" else (None, None)
        rows[f"latency {name}"] = latency_text(values[name], *bounds, latency.source, latency.effort)
    hardware = hardware_text(latency.environment, latency.source)
    return {**rows, "device profile": profile_text(spec.target)} | ({"hardware": hardware} if hardware else {})
