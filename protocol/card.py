"""What a model card says of a latency: the same words, whoever measured it and wherever the card is completed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import yaml

from hardware.values import DeviceProfile, Runtime, Source
from protocol.quantity import format_seconds

FILE = "README.md"
LATENCY = "| latency "
"""How a row of a latency begins."""

SELECTION = "on the selection split |"
"""What ends the first cell of the row behind which the latencies stand."""

EVALUATED = "intervals cover 95 %."
"""What ends the sentence behind which the verdict stands."""

NO_LICENCE = "Nobody has said yet under which licence this model may be used."
"""What leads the section of a card whose owner has said nothing."""

NOT_YET = " `stillhouse export --license ID` writes yours into this card."
"""What ends it."""

_LICENCE = re.compile(rf"{re.escape(NO_LICENCE)}|Its owner gives it under `[^`\n]*`\.")
_FRONT = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)


def latency_text(value_s: float, low_s: float | None, high_s: float | None, source: str, effort: str) -> str:
    """A latency with its interval where there is one, and where it comes from."""
    if low_s is None or high_s is None:
        return f"{format_seconds(value_s)}, {source}"
    interval = f"[{format_seconds(low_s)}, {format_seconds(high_s)}]"
    return f"{format_seconds(value_s)} {interval}, {source} with effort `{effort}`"


def profile_text(profile: DeviceProfile) -> str:
    """What was measured, and in which form where that is not the one that was scored."""
    if profile.runtime is not Runtime.ONNX_INT8:
        return profile.label
    return f"{profile.label}; quantised to 8 bits for this alone: scores and weights are of the model in float32"


def hardware_text(environment: Mapping[str, str], source: str) -> str:
    """On what a latency was measured: the accelerator where there is one, or else the processor and its cores.

    Empty where it was estimated: the machine that computed an estimate says nothing of it.
    """
    if source != Source.MEASURED:
        return ""
    accelerator = environment.get("gpu") or environment.get("tpu")
    cores = environment.get("available_cores") or environment.get("logical_cores")
    processor = environment.get("cpu", "")
    return accelerator or (f"{processor}, {cores} cores" if processor and cores else processor)


def verdict_text(verdict: str, notes: Sequence[str]) -> str:
    """The sentence of a verdict; the notes say why it is not steady."""
    told = "".join([f"`{verdict}`", *(f"; {note}" for note in (() if verdict == "steady" else notes))])
    return f" The latency's verdict is {told}."


def with_latencies(card: str, rows: dict[str, str], verdict: str) -> str:
    """The card with these rows and the verdict's sentence; as it is where it has latencies, or is none of ours."""
    lines = card.splitlines()
    places = [place for place, line in enumerate(lines) if line.startswith("| ") and SELECTION in line]
    if not places or LATENCY in card:
        return card
    place = places[0] + 1
    told = [f"| {name} | {value} |" for name, value in rows.items()]
    text = "\n".join([*lines[:place], *told, *lines[place:]]) + "\n"
    return text.replace(EVALUATED, EVALUATED + verdict, 1)


def with_licence(card: str, identity: str) -> str:
    """The card whose section names this licence, in place of none or of another one."""
    named = _LICENCE.sub(lambda _: f"Its owner gives it under `{identity}`.", card, count=1)
    return named.replace(NOT_YET, "", 1)


def with_front_matter(card: str, changes: dict[str, object]) -> str:
    """The card with these keys of its front matter changed; as it is where it has none."""
    found = _FRONT.match(card)
    if found is None or not changes:
        return card
    return front_matter(yaml.safe_load(found[1]) | changes) + card[found.end() :]


def front_matter(values: dict[str, object]) -> str:
    """The YAML that leads a card."""
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)}---\n"
