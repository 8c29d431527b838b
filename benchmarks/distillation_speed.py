"""What distillation costs, beside the plain ways to do the same.

- step: distilling logits that a cache holds, against fine-tuning the same student with transformers' Trainer, on the
  same batches.
- cache: eight students of one teacher, each once through the data, with a cache of its logits, filled on the way,
  against without; for students of which each takes at most a quarter of the teacher's multiplications, and for smaller
  ones.
- lengths: batches of similar lengths, against the same number of texts padded to 128 tokens, and against shuffled
  texts padded to the longest of their batch.
- accelerator (--device cuda): model-FLOP utilisation and peak memory of a student of BERT-base's size in bfloat16.

Both sides take turns, who goes first changes with every turn; medians with quartiles, and the ratios of the turns.
Without --data on `docstrings`, with it on CoLA: DIR/cola/train.tsv. Teachers have random weights, which take as long
as any.

    python benchmarks/distillation_speed.py --data DIR
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from cells.fine_tuning import Clock, FineTuning, as_trainer_reads
from cells.numbers import table
from cells.turns import compare, spread
from torch import Tensor
from torch.nn import functional

from distillation.batches import Batch, TrainingBatches
from distillation.cache import Cache
from distillation.criterion import Pupil
from distillation.data import PreparedData, read_data, write_data
from distillation.distil import distil
from distillation.observer import Unobserved
from distillation.plan import plan
from distillation.recipe import Knowledge, Precision, Recipe, Stage, Term
from distillation.sources import read_corpus
from distillation.splits import Example, SelectionSplit, TrainSplit
from distillation.teacher import labels_alone
from distillation.teaching import Needs, Teaching
from distillation.trainer import Training, train
from distillation.values import DOCSTRINGS, Dataset, Estimate, Task
from distillation.vocabulary import train_tokenizer
from encoders.build import build
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import Head
from search_space import Architecture, cost

PADDED = 128
BUDGET_BYTES = 2**31
NOTHING = Estimate(value=0.0, low=0.0, high=0.0, examples=1)
LOGITS = (Stage(terms=(Term(knowledge=Knowledge.LOGITS, temperature=2.0),)),)
PEAK_TFLOPS = {"H100 80GB HBM3": 989.0, "H200": 989.0, "A100": 312.0}
"""In dense bfloat16, by the maker's data sheets."""

LARGE = ((3, 192), (4, 192), (5, 192), (2, 256), (3, 256), (2, 288), (2, 320), (1, 384))
SMALL = ((3, 96), (4, 96), (5, 96), (6, 96), (2, 128), (3, 128), (2, 160), (1, 192))
"""(Layers, hidden size) of students; their teacher is 6 x 384."""
MOST_SELECTION = 100
"""Evaluations cost both sides the same, and are not what is compared."""


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    threads = f"{options.threads} threads of {platform.processor() or platform.machine()}"
    name = torch.cuda.get_device_name() if options.device == "cuda" else threads
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {name}")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options, Path(scratch))
        for part in options.parts or PARTS:
            print(f"\n## {part}\n", flush=True)
            PARTS[part](bench)


class Bench:
    """Data and shapes that the parts share."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.scratch = scratch
        self.data = _data(options.data, scratch)
        self.student = self.shape(layers=3, hidden_size=192)
        self.recipe = Recipe(steps=options.steps, batch_size=32, max_length=PADDED, stages=LOGITS)

    def shape(self, *, layers: int, hidden_size: int) -> Architecture:
        size = 64 if hidden_size >= 768 else 32
        return Architecture(
            vocabulary_size=len(self.data.tokenizer),
            layers=layers,
            hidden_size=hidden_size,
            heads=hidden_size // size,
            head_size=size,
            ffn_size=4 * hidden_size,
        )

    def model(self, architecture: Architecture, *, seed: int = 0) -> StillhouseTaskModel:
        return build(architecture, Head(classes=len(self.data.classes)), self.data.classes, seed=seed)

    def batches(
        self, kind: type[TrainingBatches] = TrainingBatches, data: PreparedData | None = None
    ) -> TrainingBatches:
        split = (data or self.data).train
        recipe = self.recipe
        return kind(split, self.data.tokenizer, batch_size=recipe.batch_size, max_length=recipe.max_length, seed=0)

    def trained(
        self, teaching: Teaching | None, batches: TrainingBatches, architecture: Architecture | None = None
    ) -> float:
        """Seconds of training a student anew."""
        student = self.model(architecture or self.student, seed=1)
        training = Training(
            name="speed",
            model=student,
            phases=plan(self.recipe, Pupil(model=student), teaching, steps=self.recipe.steps),
            batches=batches,
            evaluate=lambda: NOTHING,
            recipe=self.recipe,
            seed=0,
            device=torch.device(self.options.device),
        )
        clock = Clock()
        train(training, folder=None, resume=None, observer=clock)
        return clock.seconds


def step(bench: Bench) -> None:
    teacher = bench.model(bench.shape(layers=6, hidden_size=384))
    batches = bench.batches()
    cache = Cache(folder=bench.scratch / "step", budget_bytes=BUDGET_BYTES)
    teaching = cache.teaching(teacher, batches.encoded, Needs(), content="step", observer=Unobserved())
    theirs = [as_trainer_reads(batches(index)) for index in range(bench.recipe.steps)]
    fine_tuning = FineTuning(
        student=bench.student,
        classes=len(bench.data.classes),
        recipe=bench.recipe,
        folder=bench.scratch / "trainer",
        device=bench.options.device,
    )
    compare(
        {
            "fine-tuning by Trainer": partial(fine_tuning, theirs),
            "distilling cached logits": partial(bench.trained, teaching, batches),
        },
        rounds=bench.options.rounds,
        unit="ms",
        per=bench.recipe.steps,
    )


def cache(bench: Bench) -> None:
    teacher_shape = bench.shape(layers=6, hidden_size=384)
    teacher = bench.model(teacher_shape)
    # Once through all texts: what is computed in advance is what each student would have computed.
    few = replace(
        bench.data,
        train=TrainSplit(bench.data.train.examples[: bench.recipe.batch_size * bench.recipe.steps]),
        selection=SelectionSplit(bench.data.selection.examples[:MOST_SELECTION]),
    )
    for sizes in (LARGE, SMALL):
        students = [bench.shape(layers=layers, hidden_size=hidden_size) for layers, hidden_size in sizes]
        times = [cost(teacher_shape).macs / cost(each).macs for each in students]
        print(
            f"Teacher {teacher_shape.label}: {min(times):.1f} to {max(times):.1f} times a student's multiplications\n"
        )

        def eight(is_kept: bool, students: list[Architecture] = students) -> float:
            begin_s = time.perf_counter()
            with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
                kept = Cache(folder=Path(folder) / "cache", budget_bytes=BUDGET_BYTES)
                for student in students:
                    distil(
                        few,
                        teacher,
                        student,
                        bench.recipe,
                        steps=bench.recipe.steps,
                        seed=0,
                        folder=Path(folder) / "scratch",
                        device=bench.options.device,
                        cache=kept if is_kept else None,
                    )
            return time.perf_counter() - begin_s

        compare(
            {"with the cache": partial(eight, True), "without": partial(eight, False)},
            rounds=-(-bench.options.rounds // 2),
            unit="s",
        )
        print()


def lengths(bench: Bench) -> None:
    bench.recipe = replace(bench.recipe, stages=labels_alone())
    kinds = {"alike in length": TrainingBatches, "padded to 128": Padded, "shuffled": Shuffled}
    sides = {name: partial(bench.trained, None, bench.batches(kind)) for name, kind in kinds.items()}
    compare(sides, rounds=bench.options.rounds, unit="ms", per=bench.recipe.steps)


class Padded(TrainingBatches):
    """The same texts in the same order, padded to `PADDED` tokens."""

    def __call__(self, step: int) -> Batch:
        batch = super().__call__(step)
        missing = PADDED - batch.input_ids.shape[1]

        def padded(values: Tensor) -> Tensor:
            return functional.pad(values, (0, missing))

        types = batch.token_type_ids
        return replace(
            batch,
            input_ids=padded(batch.input_ids),
            attention_mask=padded(batch.attention_mask),
            token_type_ids=None if types is None else padded(types),
        )


class Shuffled(TrainingBatches):
    """Texts in random order, each batch padded to the longest of its own."""

    def _shuffled(self, epoch: int) -> Any:
        generator = torch.Generator().manual_seed(epoch)
        count = len(self._encoded)
        order = torch.randperm(count, generator=generator).numpy()
        return [order[start : start + self._batch_size] for start in range(0, count, self._batch_size)]


def accelerator(bench: Bench) -> None:
    """All texts fill the length: whatever is not computed here is time that was wasted."""
    if bench.options.device != "cuda":
        print("only with --device cuda")
        return
    architecture = bench.shape(layers=12, hidden_size=768)
    full = _full_length(bench.data)
    peak = _peak_tflops(bench.options)
    measured = _matmul_tflops()
    rows = []
    for batch_size in (32, 64, 128, 256):
        bench.recipe = replace(bench.recipe, batch_size=batch_size, precision=Precision.BFLOAT16)
        batches = bench.batches(data=full)
        teacher = bench.model(bench.shape(layers=1, hidden_size=32))
        store = Cache(folder=bench.scratch / f"full-{batch_size}", budget_bytes=BUDGET_BYTES)
        teaching = store.teaching(teacher, batches.encoded, Needs(), content="full", observer=Unobserved())
        # A forward pass and two for its gradients.
        tflop = 3 * cost(architecture, batch=batch_size, length=PADDED).flops / 1e12
        torch.cuda.reset_peak_memory_stats()
        seconds = [
            bench.trained(teaching, batches, architecture) / bench.recipe.steps for _ in range(bench.options.rounds)
        ]
        rate = tflop / statistics.median(seconds)
        rows.append(
            [
                f"{batch_size} x {PADDED}",
                spread([1e3 * each for each in seconds], ".1f"),
                f"{rate:.0f}",
                f"{rate / peak:.1%}" if peak else "",
                f"{rate / measured:.1%}",
                f"{torch.cuda.max_memory_allocated() / 2**30:.1f}",
            ]
        )
    print(f"{architecture.label}, bfloat16; a matrix product of 8192 reaches {measured:.0f} TFLOP/s here\n")
    print(table(["batch", "ms a step", "model TFLOP/s", "of the peak", "of the product", "peak GiB"], rows))


PARTS: Mapping[str, Callable[[Bench], None]] = {
    "step": step,
    "cache": cache,
    "lengths": lengths,
    "accelerator": accelerator,
}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with CoLA: see above")
    parser.add_argument("--parts", type=lambda text: text.split(","), help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--steps", type=int, default=60, help="of each turn; of `cache`, at most one epoch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak-tflops", type=float, help="of the accelerator in bfloat16, where it is not known")
    options = parser.parse_args()
    unknown = set(options.parts or ()) - set(PARTS)
    if unknown:
        parser.error(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    return options


def _data(folder: Path | None, scratch: Path) -> PreparedData:
    if folder is None:
        task = Task(dataset=Dataset(source=DOCSTRINGS))
    else:
        task = Task(dataset=Dataset(source=str(folder / "cola" / "train.tsv")), text=("3",), label="1")
    corpus = read_corpus(task, lambda _: None)
    texts = [text for example in corpus.splits.train.examples for text in example.texts]
    write_data(scratch / "data", corpus, task, train_tokenizer(texts, max_length=PADDED))
    data = read_data(scratch / "data")
    print(f"{DOCSTRINGS if folder is None else 'CoLA'}: {len(texts):,} train texts")
    return data


def _full_length(data: PreparedData) -> PreparedData:
    """Texts of at least `PADDED` tokens: each is many of the data's in a row."""
    texts = [text for example in data.train.examples for text in example.texts]
    examples = [Example((" ".join(texts[start : start + PADDED]),), 0) for start in range(0, len(texts) - PADDED, 4)]
    return replace(data, train=TrainSplit(tuple(examples)))


def _peak_tflops(options: argparse.Namespace) -> float | None:
    if options.peak_tflops:
        return float(options.peak_tflops)
    name = torch.cuda.get_device_name()
    return next((peak for known, peak in PEAK_TFLOPS.items() if known in name), None)


def _matmul_tflops(size: int = 8192, repeats: int = 20) -> float:
    left, right = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        left @ right
    torch.cuda.synchronize()
    begin_s = time.perf_counter()
    for _ in range(repeats):
        left @ right
    torch.cuda.synchronize()
    return 2 * size**3 * repeats / (time.perf_counter() - begin_s) / 1e12


if __name__ == "__main__":
    main()
