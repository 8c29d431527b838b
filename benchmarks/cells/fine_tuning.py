"""Plain fine-tuning by transformers' Trainer, and how long its steps take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from distillation.batches import Batch
from distillation.observer import Unobserved
from distillation.recipe import Recipe
from search_space import Architecture


class Clock(Unobserved):
    """Seconds of all steps, the first taken to be as long as the others: it also sets things up."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def step(self, step: int = 0, steps: int = 0, loss: float = 0.0) -> None:  # noqa: ARG002
        self._times.append(time.perf_counter())

    def finished(self) -> None:
        """The last step's work is done on an accelerator, too."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._times[-1] = time.perf_counter()

    @property
    def seconds(self) -> float:
        count = len(self._times)
        return (self._times[-1] - self._times[0]) / (count - 1) * count


class _TrainerClock(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.clock = Clock()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.step()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.clock.finished()


def as_trainer_reads(batch: Batch) -> dict[str, Tensor]:
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "labels": batch.labels}


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """A BERT of the student's shape with random weights, by the rates of the recipe."""

    student: Architecture
    classes: int
    recipe: Recipe
    folder: Path
    device: str

    def __call__(self, batches: list[dict[str, Tensor]]) -> float:
        """Seconds of one step for each batch."""
        timed = _TrainerClock()
        trainer = Trainer(
            model=self._model(),
            args=self._arguments(len(batches)),
            # One of its examples is one whole batch of ours.
            train_dataset=batches,
            data_collator=lambda items: items[0],
            callbacks=[timed],
        )
        trainer.remove_callback(PrinterCallback)
        with _quiet():
            trainer.train()
        return timed.clock.seconds

    def _model(self) -> BertForSequenceClassification:
        shape = self.student
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=shape.vocabulary_size,
                num_hidden_layers=shape.layers,
                hidden_size=shape.hidden_size,
                num_attention_heads=shape.heads_by_layer[0],
                intermediate_size=shape.ffn_sizes_by_layer[0],
                # The student has none.
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                num_labels=self.classes,
                attn_implementation="sdpa",
            )
        )

    def _arguments(self, steps: int) -> TrainingArguments:
        return TrainingArguments(
            output_dir=str(self.folder),
            max_steps=steps,
            per_device_train_batch_size=1,
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            warmup_steps=round(self.recipe.warmup * steps),
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=self.device == "cpu",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
