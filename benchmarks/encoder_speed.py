"""The encoder against transformers' BertModel of the same shape: forward, and forward with backward.

Both sides run in one process, in turns, on the same token ids; a ratio below 1 means that ours is faster. Padded
batches have texts of half to full length with a mask, full ones have no mask.

    python benchmarks/encoder_speed.py [--device cuda] [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from encoders.build import config_of
from encoders.modeling_stillhouse import StillhouseEncoder
from encoders.values import Head
from search_space import Architecture


@dataclass(frozen=True)
class Case:
    name: str
    architecture: Architecture
    batch: int
    length: int


def plain(layers: int, hidden_size: int) -> Architecture:
    return Architecture(
        vocabulary_size=30_522,
        layers=layers,
        hidden_size=hidden_size,
        heads=hidden_size // 64,
        head_size=64,
        ffn_size=4 * hidden_size,
    )


CASES = {
    "cpu": (
        Case("4 x 128", plain(4, 128), 1, 32),
        Case("4 x 256", plain(4, 256), 8, 64),
        Case("6 x 384", plain(6, 384), 1, 128),
        Case("6 x 384", plain(6, 384), 8, 128),
        Case("12 x 768", plain(12, 768), 1, 128),
    ),
    "cuda": (
        Case("6 x 384", plain(6, 384), 1, 128),
        Case("6 x 384", plain(6, 384), 64, 128),
        Case("12 x 768", plain(12, 768), 1, 128),
        Case("12 x 768", plain(12, 768), 32, 128),
        Case("12 x 768", plain(12, 768), 32, 384),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=list(CASES), default="cpu")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=0.3, help="at least this long a turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, 1 thread"
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {device}, {dtype}\n")
    print("| shape | batch x length | padded | pass | BertModel ms | ours ms | ours / BertModel |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ratios = []
    for case in CASES[options.device]:
        ours, theirs = (model.to(options.device, dtype) for model in sides(case.architecture))
        for padded in (False, True):
            batch = {name: tensor.to(options.device) for name, tensor in texts(case, padded).items()}
            for what, runs in (("forward", forward), ("forward + backward", forward_backward)):
                turns = compare(runs(theirs, batch), runs(ours, batch), options)
                ratio, low, high = spread([ours_s / theirs_s for theirs_s, ours_s in turns])
                ratios.append(ratio)
                theirs_ms, ours_ms = (1e3 * statistics.median(side) for side in zip(*turns, strict=True))
                print(
                    f"| {case.name} | {case.batch} x {case.length} | {'yes' if padded else 'no'} | {what}"
                    f" | {theirs_ms:.2f} | {ours_ms:.2f} | {ratio:.3f} ({low:.3f} to {high:.3f}) |",
                    flush=True,
                )
    print(f"\nmedian ratio {statistics.median(ratios):.3f}, largest {max(ratios):.3f}")


def sides(architecture: Architecture) -> tuple[StillhouseEncoder, BertModel]:
    theirs = BertModel(
        BertConfig(
            vocab_size=architecture.vocabulary_size,
            num_hidden_layers=architecture.layers,
            hidden_size=architecture.hidden_size,
            num_attention_heads=architecture.heads_by_layer[0],
            intermediate_size=architecture.ffn_sizes_by_layer[0],
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="sdpa",
        ),
        add_pooling_layer=False,
    )
    return StillhouseEncoder(config_of(architecture, Head(classes=2))), theirs


def texts(case: Case, padded: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, case.architecture.vocabulary_size, (case.batch, case.length), generator=generator)
    if not padded:
        return {"input_ids": ids}
    # One text of full length, so that the batch is as long as the case says.
    lengths = torch.randint(case.length // 2, case.length, (case.batch, 1), generator=generator)
    lengths[0] = case.length if case.batch > 1 else case.length * 3 // 4
    return {"input_ids": ids, "attention_mask": (torch.arange(case.length)[None, :] < lengths).long()}


def forward(model: nn.Module, batch: dict[str, Tensor]) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            model(**batch)

    return run


def forward_backward(model: nn.Module, batch: dict[str, Tensor]) -> Callable[[], None]:
    def run() -> None:
        model(**batch).last_hidden_state.square().mean().backward()
        model.zero_grad(set_to_none=True)

    return run


def compare(
    theirs: Callable[[], None], ours: Callable[[], None], options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Seconds of one call of each side, turn by turn; who goes first changes with every turn."""
    for run in (theirs, ours):
        seconds_of(run, options.seconds)
    turns = []
    for turn in range(options.rounds):
        order = (theirs, ours) if turn % 2 else (ours, theirs)
        taken = {run: seconds_of(run, options.seconds) for run in order}
        turns.append((taken[theirs], taken[ours]))
    return turns


def seconds_of(run: Callable[[], None], at_least_s: float) -> float:
    """Median seconds of a call."""
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < 3 or time.perf_counter() - began < at_least_s:
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def spread(values: list[float]) -> tuple[float, float, float]:
    low, _, high = statistics.quantiles(values, n=4)
    return statistics.median(values), low, high


if __name__ == "__main__":
    main()
