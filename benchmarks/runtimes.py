"""The runtimes beside each other, of the same models on the same inputs.

On the CPU: PyTorch eager and compiled, JAX, ONNX Runtime in float32 and with 8-bit weights; then what 8 bits cost and
bring: latency, size of the file, and the accuracy of a checkpoint on its report split, with the share of texts on which
both give the same class.

Where there is a GPU: eager, compiled and CUDA graphs, PyTorch and JAX, of four architectures; the GPU's own time for a
call (CUDA events, all work queued beforehand) against the wall clock around call and synchronisation.

    python benchmarks/runtimes.py [--device cuda] [--checkpoint FOLDER --data PREPARED] [--quick]

PREPARED is a folder of prepared data, as a study or a distillation of the home has it. Without them the built-in
teacher of the docstrings task is trained first and taken. --checkpoint counts on the CPU alone. A run that was stopped
goes on where it was, in --folder. --quick tries the script; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cells.ledger import Ledger, Row
from cells.numbers import table

from distillation.data import ReportData, read_report
from distillation.prepare import prepare
from distillation.presets import recipe
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Task, Teacher
from encoders.build import architecture_of, head_of
from encoders.huggingface import load_pretrained
from encoders.onnx_export import export_onnx
from encoders.values import Head, HeadKind
from hardware.backend import supports
from hardware.exporting import quantise
from hardware.procedure import measure
from hardware.values import Device, DeviceProfile, Dtype, Effort, Measurement, Runtime
from search_space import Architecture

HEAD = Head(classes=2)
SHAPES = {"2 x 128": (2, 128), "4 x 320": (4, 320), "6 x 384": (6, 384), "12 x 768": (12, 768)}
BATCHES = {Device.CPU: (1,), Device.CUDA: (1, 32)}
TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Plan:
    device: Device
    architectures: dict[str, Architecture]
    batches: tuple[int, ...]
    dtypes: tuple[Dtype, ...]
    effort: Effort


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=Device, choices=[Device.CPU, Device.CUDA], default=Device.CPU)
    parser.add_argument("--checkpoint", type=Path, help="a classifier's folder")
    parser.add_argument("--data", type=Path, help="the prepared data of its task")
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/runtimes"))
    parser.add_argument("--quick", action="store_true", help="the smallest architecture, provisional values")
    options = parser.parse_args()
    if (options.checkpoint is None) != (options.data is None):
        parser.error("--checkpoint and --data belong together")
    names = list(SHAPES)[:1] if options.quick else list(SHAPES)
    plan = Plan(
        device=options.device,
        architectures={name: shape(*SHAPES[name]) for name in names},
        batches=BATCHES[options.device][: 1 if options.quick else None],
        dtypes=tuple(Dtype) if options.device is Device.CUDA else (Dtype.FLOAT32,),
        effort=Effort.QUICK if options.quick else Effort.SEARCH,
    )
    ledger = Ledger(options.folder / f"{options.device}-{'quick' if options.quick else 'results'}.jsonl")
    print(f"{datetime.now(UTC):%Y-%m-%d}; effort {plan.effort}")
    print_runtimes(plan, ledger)
    if options.device is Device.CPU:
        print_quantised(options, plan, ledger)


def shape(layers: int, width: int) -> Architecture:
    return Architecture(
        vocabulary_size=30_522,
        layers=layers,
        hidden_size=width,
        heads=width // 64,
        head_size=64,
        ffn_size=4 * width,
        max_positions=128,
    )


def print_runtimes(plan: Plan, ledger: Ledger) -> None:
    stamps: dict[str, str] = {}
    rows = []
    for profile in profiles(plan):
        for name, architecture in plan.architectures.items():

            def measured(profile: DeviceProfile = profile, architecture: Architecture = architecture) -> Row:
                return kept(measure(architecture, HEAD, profile, plan.effort))

            row = ledger.once(f"{profile.key}, {name}", measured)
            stamps |= row["environment"]
            rows.append([name, profile.dtype, str(profile.batch), profile.runtime, *cells(row)])
            print(f"... {profile.label}, {name}: {row['value_s'] * 1e3:.3f} ms, {row['verdict']}", flush=True)
    heads = ["shape", "dtype", "batch", "runtime", "p50 ms", "95 % interval", "verdict", "compile s", "load s"]
    print(f"\n{', '.join(f'{name} {value}' for name, value in stamps.items())}\n")
    print(table([*heads, "events / wall", "GPU MB", "mJ per example"], sorted(rows, key=lambda row: row[:3])))


def profiles(plan: Plan) -> Iterator[DeviceProfile]:
    """All runtimes of the device; what cannot be measured here is said."""
    for dtype in plan.dtypes:
        for batch in plan.batches:
            for runtime in Runtime:
                profile = DeviceProfile(device=plan.device, runtime=runtime, dtype=dtype, batch=batch, length=128)
                reason = supports(profile)
                if reason is None:
                    yield profile
                else:
                    print(f"not measured: {profile.label}: {reason}")


def kept(found: Measurement) -> Row:
    return {
        "value_s": found.p50.value_s,
        "interval_s": [found.p50.low_s, found.p50.high_s],
        "environment": found.environment,
        **{
            name: getattr(found, name)
            for name in (
                "verdict",
                "notes",
                "compile_s",
                "load_s",
                "event_share",
                "device_peak_memory_bytes",
                "energy_j",
            )
        },
    }


def cells(row: Row) -> list[str]:
    low_s, high_s = row["interval_s"]
    return [
        f"{row['value_s'] * 1e3:.3f}",
        f"{number(low_s, 1e3)} to {number(high_s, 1e3)}",
        row["verdict"],
        f"{row['compile_s']:.1f}",
        f"{row['load_s']:.2f}",
        number(row["event_share"], 1, 2),
        number(row["device_peak_memory_bytes"], 1e-6, 0),
        number(row["energy_j"], 1e3, 2),
    ]


def number(value: float | None, factor: float, digits: int = 3) -> str:
    return "" if value is None else f"{value * factor:.{digits}f}"


def print_quantised(options: argparse.Namespace, plan: Plan, ledger: Ledger) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, data = options.checkpoint, options.data
        if checkpoint is None:
            checkpoint, data = trained(options.folder / ("quick" if options.quick else "docstrings"), options.quick)
        row = ledger.once(
            f"int8, {checkpoint.resolve()}, {data.resolve()}",
            lambda: quantised(checkpoint, read_report(data), plan, Path(scratch)),
        )
    print(
        f"\n## 8-bit weights: {row['architecture']}, length {row['length']}, {row['texts']} texts of the report split\n"
    )
    rows = []
    for name in ("onnx", "onnx_int8"):
        each = row[name]
        latency = [f"{each['value_s'] * 1e3:.3f}", each["verdict"], f"{each['bytes'] / 1e6:.2f}"]
        rows.append([name, *latency, f"{each['accuracy']:.4f}"])
    print(table(["runtime", "p50 ms", "verdict", "file MB", "accuracy"], rows))
    whole, small = row["onnx"], row["onnx_int8"]
    print(
        f"\n8 bits / float32: latency {small['value_s'] / whole['value_s']:.3f},"
        f" size {small['bytes'] / whole['bytes']:.3f}, accuracy {small['accuracy'] - whole['accuracy']:+.4f};"
        f" the same class on {row['agreement']:.2%} of the texts"
    )


def trained(folder: Path, quick: bool) -> tuple[Path, Path]:
    how = recipe("distilbert", steps=2 if quick else 300, max_length=32)
    epochs = {"epochs": 0.05} if quick else {}
    task = Task(dataset=Dataset(source=DOCSTRINGS))
    if not (folder / "teacher").exists():
        prepare(task, Teacher(model=BUILT_IN, **epochs), how, folder, seed=0)
    return folder / "teacher", folder / "data"


def quantised(checkpoint: Path, data: ReportData, plan: Plan, scratch: Path) -> Row:
    model = load_pretrained(str(checkpoint)).model
    architecture, head = architecture_of(model.config), head_of(model.config)
    if head.kind is not HeadKind.CLASSIFICATION:
        raise SystemExit(f"{checkpoint} is for {head.kind}; the comparison is of classifiers of texts")
    length = min(architecture.max_positions, 128)
    files = {"onnx": scratch / "float32.onnx", "onnx_int8": scratch / "int8.onnx"}
    export_onnx(model, files["onnx"])
    quantise(files["onnx"], files["onnx_int8"])
    labels = np.array([example.label for example in data.report.examples])
    found: Row = {"architecture": architecture.label, "length": length, "texts": len(labels)}
    classes = {name: predictions(file, data, length) for name, file in files.items()}
    for runtime in (Runtime.ONNX, Runtime.ONNX_INT8):
        profile = DeviceProfile(runtime=runtime, length=length)
        measured = measure(architecture, head, profile, plan.effort, checkpoint=checkpoint)
        found[runtime] = kept(measured) | {
            "bytes": files[runtime].stat().st_size,
            "accuracy": float(np.mean(classes[runtime] == labels)),
        }
    return found | {"agreement": float(np.mean(classes["onnx"] == classes["onnx_int8"]))}


def predictions(file: Path, data: ReportData, length: int) -> npt.NDArray[np.int64]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    expected = [node.name for node in session.get_inputs()]
    examples = data.report.examples
    found = []
    for begin in range(0, len(examples), TEXTS_AT_ONCE):
        texts = [example.texts for example in examples[begin : begin + TEXTS_AT_ONCE]]
        columns = [list(column) for column in zip(*texts, strict=True)]
        batch: Any = data.tokenizer(*columns, padding=True, truncation=True, max_length=length, return_tensors="np")
        ids = batch["input_ids"].astype(np.int64)
        named = {"token_type_ids": np.zeros_like(ids)} | {name: batch[name].astype(np.int64) for name in batch}
        found.append(session.run(["logits"], {name: named[name] for name in expected})[0].argmax(axis=-1))
    return np.concatenate(found)


if __name__ == "__main__":
    main()
