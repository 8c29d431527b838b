"""What is read from a scheduled program, against one that was annotated by hand, and against small made-up ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hardware.tpu.schedule import UNKNOWN, Role, ScheduleError, Step, schedule, steps

ANNOTATED = (Path(__file__).parent / "scheduled.hlo").read_text(encoding="utf-8")

HEADER = "HloModule jit_f, is_scheduled=true"
ONE = "  %a = f32[8,128]{1,0:T(8,128)} parameter(0)"


def cycles(count: int | str) -> str:
    return f'backend_config={{"window_config":{{"estimated_cycles":"{count}","iteration_bounds":["1"]}}}}'


def program(*entry: str, before: tuple[str, ...] = ()) -> str:
    return "\n".join([HEADER, "", *before, "ENTRY %main (a: f32[8,128]) -> f32[8,128] {", ONE, *entry, "}", ""])


def add(name: str, count: int | str | None, of: str = "%a") -> str:
    told = "" if count is None else f", {cycles(count)}"
    return f"  %{name} = f32[8,128]{{1,0:T(8,128)}} add({of}, {of}){told}"


def computation(name: str, *lines: str) -> str:
    return "\n".join([f"%{name} (p: f32[8,128]) -> f32[8,128] {{", *lines, "}", ""])


def annotation(step: Step) -> str:
    if step.role is Role.FREE:
        return "free"
    if step.role is Role.ASYNCHRONOUS:
        return f"asynchronous, moves {step.moved_bytes}"
    return "compute, no estimate" if step.cycles is None else f"compute, {step.cycles} cycles"


def test_every_instruction_is_read_as_by_hand() -> None:
    lines = [line for line in ANNOTATED.splitlines() if not line.startswith("//")]
    by_hand = [
        (found[1], found[2]) for line in lines if (found := re.match(r"\s+(?:ROOT )?%([\w.\-]+) = .*  // (.+)$", line))
    ]
    read = steps("\n".join(line.partition("  // ")[0] for line in lines))
    assert [(step.name, annotation(step)) for step in read] == by_hand
    assert len(by_hand) == 92


def test_sums_are_those_of_the_annotations() -> None:
    found = schedule("\n".join(line.partition("  // ")[0] for line in ANNOTATED.splitlines() if line[:2] != "//"))
    by_hand = [int(count) for count in re.findall(r"// compute, (\d+) cycles", ANNOTATED)]
    assert (found.cycles, found.estimated) == (sum(by_hand), len(by_hand)) == (28_051, 15)
    assert found.unestimated == ANNOTATED.count("// compute, no estimate") == 2
    # The gather of 32 rows of 128 bfloat16, and one float32.
    assert found.unestimated_bytes == 32 * 128 * 2 + 4
    assert found.coverage == pytest.approx(15 / 17)
    assert found.moved_bytes == sum(map(int, re.findall(r"moves (\d+)", ANNOTATED))) == 208_900


def test_estimates_inside_a_fusion_are_not_counted_again() -> None:
    inside = computation("fused", add("x", 1000), "  ROOT %y = f32[8,128]{1,0} negate(%x)")
    text = program(
        f"  ROOT %f = f32[8,128]{{1,0}} fusion(%a), kind=kLoop, calls=%fused, {cycles(7)}",
        before=(inside,),
    )
    assert schedule(text).cycles == 7


def test_a_called_computation_counts_once_for_every_call() -> None:
    body = computation("called", add("x", 10), add("y", None))
    call = "f32[8,128]{1,0} call(%a), to_apply=%called"
    found = schedule(program(f"  %c = {call}", f"  ROOT %d = {call}", before=(body,)))
    assert (found.cycles, found.estimated, found.unestimated) == (20, 2, 2)


def test_a_loop_counts_its_turns_also_inside_another() -> None:
    loop = 'while(%a), condition=%cond, body=%{}, backend_config={{"known_trip_count":{{"n":"{}"}}}}'
    computations = (
        computation("cond", add("less", 1)),
        computation("inner", add("x", 10)),
        computation("outer", f"  %w = f32[8,128]{{1,0}} {loop.format('inner', 3)}"),
    )
    found = schedule(program(f"  ROOT %v = f32[8,128]{{1,0}} {loop.format('outer', 5)}", before=computations))
    # Of so many turns the condition is asked once more.
    assert found.cycles == (5 + 1) * 1 + 5 * ((3 + 1) * 1 + 3 * 10)


def test_what_the_compiler_does_not_know_is_no_estimate() -> None:
    found = schedule(program(add("x", UNKNOWN), add("y", -1), add("z", 5)))
    assert (found.cycles, found.estimated, found.unestimated) == (5, 1, 2)


def test_work_of_another_core_is_not_added() -> None:
    elsewhere = computation("async_computation", add("x", UNKNOWN), add("y", 100))
    text = program(
        add("z", 5),
        "  %s = ((f32[8,128]{1,0}), f32[8,128]{1,0}, u32[]{:S(8)}) async-start(%a),"
        ' async_execution_thread="sparsecore", calls=%async_computation',
        "  ROOT %d = f32[8,128]{1,0} async-done(%s)",
        before=(elsewhere,),
    )
    assert schedule(text).cycles == 5


def test_copies_between_memories_of_the_die_move_nothing() -> None:
    text = program(
        add("z", 5),
        "  %s = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0:T(8,128)S(3)}, u32[]{:S(2)}) copy-start(%z)",
        "  %d = f32[8,128]{1,0:T(8,128)S(1)} copy-done(%s)",
        "  %t = (f32[8,128]{1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}, u32[]{:S(2)}) copy-start(%d)",
        "  ROOT %e = f32[8,128]{1,0:T(8,128)} copy-done(%t)",
    )
    assert schedule(text).moved_bytes == 8 * 128 * 4


def test_the_parts_of_an_array_are_joined_for_nothing() -> None:
    joined = '  ROOT %j = f32[8,128]{1,0} custom-call(%z), custom_call_target="ConcatBitcast"'
    found = schedule(program(add("z", 5), joined))
    assert (found.estimated, found.unestimated) == (1, 0)


def test_a_custom_kernel_passes_with_an_estimate_alone() -> None:
    kernel = '  ROOT %k = f32[8,128]{1,0} custom-call(%a), custom_call_target="tpu_custom_call"'
    assert schedule(program(f"{kernel}, {cycles(9)}")).cycles == 9
    with pytest.raises(ScheduleError, match=r"custom kernel 'tpu_custom_call' \(k\), of which .* no estimate"):
        schedule(program(add("z", 5), kernel))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a scheduled HLO module"),
        (program(add("z", 5)).replace(", is_scheduled=true", ""), "not a scheduled HLO module"),
        (HEADER, "no entry computation"),
        (program(add("z", None)), "no estimates of cycles"),
        (program("  some other text"), "cannot read this line .* some other text"),
        (program("  %c = f32[8]{0} call(%a), to_apply=%gone"), "calls gone, which is not in it"),
        (program("  %w = f32[8]{0} while(%a), condition=%c, body=%b"), "how often the loop w turns"),
        (program("  %b = f32[8]{0} conditional(%p, %a, %a)"), "the branch b depends on the data"),
        (program("  %x = f7[8]{0} add(%a, %a)"), "unknown type f7"),
    ],
)
def test_a_program_that_cannot_be_priced_is_refused(text: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        schedule(text)


def test_bytes_are_those_of_all_arrays_without_padding() -> None:
    [_, step] = steps(
        program("  %x = (pred[5]{0:T(512)(128)(4,1)}, bf16[2,3]{1,0:T(8,128)}, s4[3]{0}, f32[]) sort(%a)")
    )
    assert step.written_bytes == 5 + 12 + 2 + 4
