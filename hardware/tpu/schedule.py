"""What a scheduled HLO program of the TPU compiler says of its own duration.

The text is that of XLA's HLO: computations of one instruction a line, the entry computation in the order in which the
core executes it. The compiler writes its cost model's `estimated_cycles` into the backend configuration of most
instructions that compute. Where it has no estimate it writes none, or the largest 64-bit integer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hardware.errors import MeasurementError

FREE = frozenset(
    ("parameter", "constant", "bitcast", "get-tuple-element", "tuple", "after-all", "add-dependency", "opt-barrier")
)
"""Opcodes that only name data."""

FREE_CALLS = frozenset(("ConcatBitcast",))
"""Custom calls of the compiler's own that only name data: the parts of an array, copied one by one, as the whole."""

ASYNCHRONOUS = ("-start", "-update", "-done")

UNKNOWN = 2**63 - 1
"""What the compiler writes where its cost model has no answer."""

BITS = {
    **dict.fromkeys(("s2", "u2"), 2),
    **dict.fromkeys(("s4", "u4", "f4e2m1fn"), 4),
    **dict.fromkeys(("pred", "s8", "u8"), 8),
    **dict.fromkeys(("s16", "u16", "f16", "bf16"), 16),
    **dict.fromkeys(("s32", "u32", "f32"), 32),
    **dict.fromkeys(("s64", "u64", "f64", "c64"), 64),
}

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_OPCODE = re.compile(r"\s*([\w\-]+)\(")
_CYCLES = re.compile(r'"estimated_cycles":"?(-?\d+)')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"?(\d+)')
_OPERAND = re.compile(r"%?([\w.\-]+)")


class ScheduleError(MeasurementError):
    """A program whose duration cannot be told from its schedule."""


class Role(StrEnum):
    """What an instruction costs the core."""

    COMPUTE = "compute"
    FREE = "free"
    """Nothing: it only names data."""
    ASYNCHRONOUS = "asynchronous"
    """Nothing by itself: a copy or another core works meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One scheduled instruction, executed `times` times.

    Args:
        cycles: the compiler's estimate of one execution; None where it has none, or needs none.
        written_bytes: the size of its result.
        moved_bytes: what it brought over the boundary of the chip's memory, of the end of an asynchronous copy.
    """

    name: str
    opcode: str
    role: Role
    cycles: int | None
    written_bytes: int
    moved_bytes: int = 0
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A program's sums.

    Args:
        cycles: the sum of all estimates.
        estimated, unestimated: how many computing instructions carry an estimate, and how many do not.
        estimated_bytes, unestimated_bytes: what they write.
        moved_bytes: what asynchronous copies carry between the chip's memory and the die.
    """

    cycles: int
    estimated: int
    unestimated: int
    estimated_bytes: int
    unestimated_bytes: int
    moved_bytes: int

    @property
    def coverage(self) -> float:
        """Share of the computing instructions with an estimate."""
        return self.estimated / (self.estimated + self.unestimated)

    @property
    def byte_coverage(self) -> float:
        """Share of the bytes that computing instructions write, by those with an estimate."""
        return self.estimated_bytes / (self.estimated_bytes + self.unestimated_bytes)


def schedule(text: str) -> Schedule:
    """The sums of a program.

    Raises:
        ScheduleError: as `steps`, or not one instruction carries an estimate.
    """
    walked = steps(text)
    computing = [step for step in walked if step.role is Role.COMPUTE]
    with_estimate = [step for step in computing if step.cycles is not None]
    without = [step for step in computing if step.cycles is None]
    if not any(step.cycles for step in with_estimate):
        raise ScheduleError("the compiler's schedule carries no estimates of cycles")
    return Schedule(
        cycles=sum((step.cycles or 0) * step.times for step in with_estimate),
        estimated=sum(step.times for step in with_estimate),
        unestimated=sum(step.times for step in without),
        estimated_bytes=sum(step.written_bytes * step.times for step in with_estimate),
        unestimated_bytes=sum(step.written_bytes * step.times for step in without),
        moved_bytes=sum(step.moved_bytes * step.times for step in walked),
    )


def steps(text: str) -> list[Step]:
    """The instructions that the core executes, in order.

    Those of a called computation stand in place of the call, those of a loop's once with their number of turns. What
    is inside a fusion is no instruction of its own, and neither is what an asynchronous computation does elsewhere.

    Raises:
        ScheduleError: the program is not scheduled, is not HLO, holds a custom kernel without an estimate, a loop of
            unknown length or a branch.
    """
    if "is_scheduled=true" not in text.partition("\n")[0]:
        raise ScheduleError("the compiler's program is not a scheduled HLO module")
    computations, entry = _computations(text)
    return list(_walk(computations, entry, 1))


@dataclass(frozen=True, slots=True)
class _Instruction:
    name: str
    shape: str
    opcode: str
    rest: str
    """From the opening parenthesis of the operands on."""

    def calls(self, attribute: str) -> str:
        found = re.search(rf"\b{attribute}=%?([\w.\-]+)", self.rest)
        if found is None:
            raise ScheduleError(f"the instruction {self.name} names no {attribute}")
        return found[1]

    @property
    def operand(self) -> str:
        """The name of the first; empty without any."""
        found = _OPERAND.match(self.rest, 1)
        return found[1] if found else ""

    @property
    def cycles(self) -> int | None:
        found = _CYCLES.search(self.rest)
        cycles = None if found is None else int(found[1])
        return None if cycles is None or cycles < 0 or cycles == UNKNOWN else cycles


def _computations(text: str) -> tuple[dict[str, list[_Instruction]], str]:
    """The instructions of every computation, and the name of the entry."""
    computations: dict[str, list[_Instruction]] = {}
    entry = current = None
    for line in text.splitlines():
        if current is None:
            if found := _COMPUTATION.match(line):
                current = computations[found[2]] = []
                entry = found[2] if found[1] else entry
        elif line.startswith("}"):
            current = None
        elif line.strip():
            current.append(_instruction(line))
    if entry is None:
        raise ScheduleError("the compiler's program has no entry computation")
    return computations, entry


def _instruction(line: str) -> _Instruction:
    if found := _INSTRUCTION.match(line):
        shape, rest = _split(found[2])
        if opcode := _OPCODE.match(rest):
            return _Instruction(found[1], shape, opcode[1], rest[opcode.end() - 1 :])
    raise ScheduleError(f"cannot read this line of the compiler's program: {line.strip()[:200]}")


def _split(definition: str) -> tuple[str, str]:
    """The shape, which is in parentheses where it is a tuple, and what follows."""
    if not definition.startswith("("):
        shape, _, rest = definition.partition(" ")
        return shape, rest
    depth = 0
    for place, character in enumerate(definition):
        depth += (character == "(") - (character == ")")
        if not depth:
            return definition[: place + 1], definition[place + 1 :]
    raise ScheduleError(f"an unclosed tuple in the compiler's program: {definition[:200]}")


def _walk(computations: Mapping[str, list[_Instruction]], name: str, times: int) -> Iterator[Step]:
    if name not in computations:
        raise ScheduleError(f"the compiler's program calls {name}, which is not in it")
    starts: dict[str, _Instruction] = {}
    for each in computations[name]:
        if each.opcode.endswith("-start"):
            starts[each.name] = each
        match each.opcode:
            case "call" if each.cycles is None:
                yield from _walk(computations, each.calls("to_apply"), times)
            case "while" if each.cycles is None:
                turns = _turns(each)
                # It is asked once more than it turns: at last whether to end.
                yield from _walk(computations, each.calls("condition"), times * (turns + 1))
                yield from _walk(computations, each.calls("body"), times * turns)
            case "conditional" if each.cycles is None:
                raise ScheduleError(f"the duration of the branch {each.name} depends on the data")
            case _:
                yield _step(each, starts, times)


def _turns(loop: _Instruction) -> int:
    found = _TRIPS.search(loop.rest)
    if found is None:
        raise ScheduleError(f"the compiler does not tell how often the loop {loop.name} turns")
    return int(found[1])


def _step(each: _Instruction, starts: Mapping[str, _Instruction], times: int) -> Step:
    role, cycles = _role(each), each.cycles
    if each.opcode == "custom-call" and role is Role.COMPUTE and cycles is None:
        raise ScheduleError(
            f"the program runs the custom kernel {_target(each)!r} ({each.name}), of which the compiler has no estimate"
        )
    start = starts.get(each.operand) if each.opcode.endswith("-done") else None
    return Step(
        name=each.name,
        opcode=each.opcode,
        role=role,
        cycles=cycles if role is Role.COMPUTE else None,
        written_bytes=_bytes(each.shape),
        moved_bytes=_bytes(each.shape) if start is not None and _crosses(start) else 0,
        times=times,
    )


def _role(each: _Instruction) -> Role:
    if each.opcode in FREE or (each.opcode == "custom-call" and _target(each) in FREE_CALLS):
        return Role.FREE
    return Role.ASYNCHRONOUS if each.opcode.endswith(ASYNCHRONOUS) else Role.COMPUTE


def _target(call: _Instruction) -> str:
    found = re.search(r'custom_call_target="([^"]*)"', call.rest)
    return found[1] if found else ""


def _crosses(start: _Instruction) -> bool:
    """Whether a copy goes from the chip's memory to the die, or back; layouts name a memory on the die as `S(number)`.

    A start's result is a tuple of source, destination and flags, the flags without dimensions. What the program before
    has fetched already (`cross_program_prefetch_index`) moved there: the same program's end fetches it for the next.
    """
    if "cross_program_prefetch_index" in start.rest:
        return False
    on_die = {"S(" in (layout or "") for _, sizes, layout in _ARRAY.findall(start.shape) if sizes}
    return on_die == {True, False}


def _bytes(shape: str) -> int:
    """The size of an array, or of all in a tuple, without the padding of its layout."""
    return sum(_array_bytes(kind, sizes) for kind, sizes, _ in _ARRAY.findall(shape))


def _array_bytes(kind: str, sizes: str) -> int:
    if kind not in BITS:
        raise ScheduleError(f"unknown type {kind} in the compiler's program")
    return math.ceil(math.prod(int(size) for size in sizes.split(",") if size) * BITS[kind] / 8)
