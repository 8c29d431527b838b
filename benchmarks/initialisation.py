"""Students that start as a part of their teacher beside students that start at random, after the same steps.

The task is `docstrings`, the teacher the built-in one, trained once and kept in --folder. Logits alone are distilled,
by the default recipe. For a seed all students see the same batches and the same logits of the teacher. Prints the
accuracy on the selection split before the first step and, median [lowest, highest] over the seeds, after the last.

    python benchmarks/initialisation.py --seeds 0,1,2 --steps 100
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from distillation.batches import Batch, Encoded, TrainingBatches
from distillation.data import PreparedData, read_data, write_data
from distillation.evaluation import predict
from distillation.losses import logits_kl
from distillation.observer import Unobserved
from distillation.optimiser import Rates, build_optimiser, schedule
from distillation.recipe import Recipe
from distillation.sources import read_corpus
from distillation.teacher import built_in_architecture, make_teacher
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Task, Teacher
from distillation.vocabulary import train_tokenizer
from encoders.build import build, head_of, labels_of
from encoders.importance import Importance, blocks_of, norm_importance, stacks_of
from encoders.initialisation import LayerChoice, initialise_from_teacher
from encoders.modeling_stillhouse import StillhouseForSequenceClassification, StillhouseTaskModel
from encoders.values import Head
from encoders.weights import load_weights, save_weights
from search_space import Architecture, Norm

LENGTH = 32
RECIPE = Recipe(max_length=LENGTH)
TEMPERATURE = 2.0
FASTER = replace(RECIPE, learning_rate=7e-4, embedding_learning_rate=2e-3)
"""The rates of the built-in teacher, which starts at random too."""
IMPORTANCE_BATCHES = 16


@dataclass(frozen=True, slots=True)
class Start:
    """How a student starts; without layers, at random."""

    name: str
    layers: LayerChoice | None = None
    importance: str = "leading"
    recipe: Recipe = RECIPE


RANDOM = Start("random")
RANDOM_FASTER = Start("random, rates of the teacher's training", recipe=FASTER)
LOWER, UNIFORM, UPPER = (Start(f"{choice}, leading units", choice) for choice in LayerChoice)
NORMS, GRADIENTS = (Start(f"lower, by {name}", LayerChoice.LOWER, name) for name in ("norms", "gradients"))
WIDTH = [LOWER, NORMS, GRADIENTS]
BOTH = [LOWER, UNIFORM, UPPER, NORMS, GRADIENTS]


def students(teacher: Architecture) -> Iterator[tuple[str, Architecture, list[Start]]]:
    half = replace(teacher, layers=2, hidden_size=96, heads=3, ffn_size=384)
    yield "half as deep and wide", half, [RANDOM, RANDOM_FASTER, *BOTH]
    narrow = replace(teacher, layers=2, hidden_size=64, heads=2, ffn_size=128)
    yield "half as deep, a third as wide", narrow, [RANDOM, RANDOM_FASTER, *BOTH]
    yield "a third as wide", replace(narrow, layers=4), [RANDOM, *WIDTH]
    fewer = replace(teacher, layers=2, heads=2, ffn_size=96)
    yield "half as deep, fewer heads and neurons", fewer, [RANDOM, *WIDTH]
    yield "without normalisation", replace(half, norm=Norm.NO_NORM), [RANDOM, LOWER]
    yield "words by truncated SVD", replace(half, embedding_size=32), [RANDOM, LOWER]
    yield "bottlenecked", replace(half, hidden_size=192, bottleneck_size=64, heads=2, ffn_size=128), [RANDOM, LOWER]


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    begin_s = time.monotonic()
    data, teacher = prepared(options.folder)
    selection = Encoded(data.selection, data.tokenizer, max_length=LENGTH)
    print(f"teacher {accuracy(teacher, selection):.3f} on {len(selection)} texts, {time.monotonic() - begin_s:.0f} s")
    scores = {
        "leading": Importance(),
        "norms": norm_importance(teacher),
        "gradients": gradient_importance(teacher, Encoded(data.train, data.tokenizer, max_length=LENGTH)),
    }
    shape = built_in_architecture(len(data.tokenizer), LENGTH)
    before: dict[tuple[str, str], float] = {}
    after: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in options.seeds:
        lessons = taught(teacher, data, options.steps, seed)
        for _, architecture, starts in students(shape):
            for start in starts:
                student = started(teacher, architecture, start, scores, seed)
                key = (architecture.key, start.name)
                if key not in before:
                    before[key] = accuracy(student, selection)
                train(student, lessons, start.recipe)
                after[key].append(accuracy(student, selection))
        print(f"seed {seed}: {time.monotonic() - begin_s:.0f} s", flush=True)
    show(shape, before, after, options.steps)


def show(
    teacher: Architecture, before: dict[tuple[str, str], float], after: dict[tuple[str, str], list[float]], steps: int
) -> None:
    print(f"\n| student | start | 0 steps | {steps} steps | - random |\n| --- | --- | --- | --- | --- |")
    for name, architecture, starts in students(teacher):
        at_random = statistics.median(after[architecture.key, RANDOM.name])
        for start in starts:
            values = after[architecture.key, start.name]
            median = statistics.median(values)
            print(
                f"| {name}: {architecture.label} | {start.name} | {before[architecture.key, start.name]:.3f}"
                f" | {median:.3f} [{min(values):.3f}, {max(values):.3f}] | {median - at_random:+.3f} |"
            )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/initialisation"))
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def prepared(folder: Path) -> tuple[PreparedData, StillhouseForSequenceClassification]:
    """Data and teacher, made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").is_dir():
        task = Task(dataset=Dataset(source=DOCSTRINGS))
        corpus = read_corpus(task, print)
        texts = [text for example in corpus.splits.train.examples for text in example.texts]
        write_data(folder / "data", corpus, task, train_tokenizer(texts, max_length=LENGTH))
    data, weights = read_data(folder / "data"), folder / "teacher.safetensors"
    if weights.is_file():
        shape = built_in_architecture(len(data.tokenizer), LENGTH)
        model = build(shape, Head(classes=len(data.classes)), data.classes)
        load_weights(model, weights)
    else:
        place = torch.device("cpu")
        model = make_teacher(data, Teacher(model=BUILT_IN), RECIPE, seed=0, observer=Unobserved(), device=place)
        save_weights(model, weights)
    if not isinstance(model, StillhouseForSequenceClassification):
        raise TypeError(f"the teacher is a {type(model).__name__}")
    return data, model


def taught(teacher: StillhouseTaskModel, data: PreparedData, steps: int, seed: int) -> list[tuple[Batch, Tensor]]:
    """The batches of a seed, each with the teacher's logits."""
    batches = TrainingBatches(data.train, data.tokenizer, batch_size=RECIPE.batch_size, max_length=LENGTH, seed=seed)
    lessons = []
    with torch.no_grad():
        for step in range(steps):
            batch = batches(step)
            lessons.append((batch, teacher(batch.input_ids, batch.attention_mask).logits))
    return lessons


def started(
    teacher: StillhouseForSequenceClassification,
    architecture: Architecture,
    start: Start,
    scores: dict[str, Importance],
    seed: int,
) -> StillhouseForSequenceClassification:
    student = build(architecture, head_of(teacher.config), labels_of(teacher.config), seed=seed)
    if start.layers is not None:
        initialise_from_teacher(student, teacher, layers=start.layers, importance=scores[start.importance])
    if not isinstance(student, StillhouseForSequenceClassification):
        raise TypeError(f"the student is a {type(student).__name__}")
    return student


def train(student: StillhouseForSequenceClassification, lessons: list[tuple[Batch, Tensor]], recipe: Recipe) -> None:
    """As distillation trains on logits alone, the teacher's given."""
    optimiser = build_optimiser(
        student,
        nn.Identity(),
        Rates(embeddings=recipe.embedding_learning_rate, rest=recipe.learning_rate),
        weight_decay=recipe.weight_decay,
    )
    student.train(True)
    for step, (batch, logits) in enumerate(lessons):
        for group in optimiser.param_groups:
            group["lr"] = schedule(step, len(lessons), recipe.warmup) * group["peak"]
        learned = student(batch.input_ids, batch.attention_mask).logits
        loss = logits_kl(learned, logits, TEMPERATURE).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(student.parameters(), recipe.gradient_clip)
        optimiser.step()


def accuracy(model: StillhouseForSequenceClassification, texts: Encoded) -> float:
    return float(np.mean(predict(model, texts, torch.device("cpu")) == texts.labels))


def gradient_importance(model: StillhouseForSequenceClassification, texts: Encoded) -> Importance:
    """The sum over batches of |d loss / d mask|, for masks of ones on hidden states, heads and neurons.

    References: arXiv:2205.14570, section 3.2.
    """
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    seen: list[tuple[str, Tensor]] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def seeing(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            inputs[0].retain_grad()
            seen.append((name, inputs[0]))

        return seeing

    handles = []
    for index, block in enumerate(blocks_of(model)):
        attention, feed_forward = block.attention, stacks_of(block)[0]
        watched = {"heads": attention.output, "neurons": feed_forward.down}
        watched |= {"hidden a": attention.query, "hidden f": feed_forward.up}
        handles += [each.register_forward_pre_hook(watch(f"{name} {index}")) for name, each in watched.items()]
    random = np.random.default_rng(0)
    for indices in random.permutation(len(texts))[: IMPORTANCE_BATCHES * 64].reshape(IMPORTANCE_BATCHES, 64):
        batch = texts.batch(indices)
        seen.clear()
        torch.autograd.backward(model(batch.input_ids, batch.attention_mask, labels=batch.labels).loss)
        for name, values in seen:
            gradient = torch.zeros_like(values) if values.grad is None else values.grad
            of_units = (values * gradient).sum(dim=(0, 1))
            if name.startswith("heads"):
                of_units = of_units.view(-1, model.config.head_size).sum(dim=1)
            sums[name] = sums[name] + of_units.abs().detach()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    layers = range(model.config.layers)
    hidden = [sums[f"hidden {part} {index}"] for part in "af" for index in layers]
    return Importance(
        hidden=torch.stack(hidden).sum(dim=0),
        heads=tuple(sums[f"heads {index}"] for index in layers),
        neurons=tuple(sums[f"neurons {index}"] for index in layers),
    )


if __name__ == "__main__":
    main()
