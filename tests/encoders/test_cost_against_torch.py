"""The closed forms of `search_space.cost` against what torch counts on a model of the same architecture."""

import random
from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from encoders.build import build
from encoders.modeling_stillhouse import NoNorm
from encoders.values import Head, HeadKind
from search_space import Architecture, Cost, cost
from search_space.architecture import OPTIONS

BATCH, LENGTH = 2, 5
WRITERS = (nn.Linear, nn.GELU, nn.ReLU, nn.Tanh, nn.LayerNorm, NoNorm)
"""What writes values that count as activations; attention itself is seen as the input of its output map."""


def random_architecture(draw: random.Random) -> Architecture:
    """Any of the family: small, every option, sizes per layer, layers without heads or without neurons."""
    layers = draw.randint(1, 3)
    bottleneck_size = draw.choice([0, 0, 3, 8])
    options = {name: draw.choice(values) for name, values in OPTIONS.items()}
    if not bottleneck_size:
        del options["attention_input"]
    per_layer = {name: tuple(draw.choice([0, 1, 2, 5]) for _ in range(layers)) for name in ("heads", "ffn_size")}
    uniform = {"heads": draw.randint(1, 4), "ffn_size": draw.randint(1, 9)}
    return Architecture(
        vocabulary_size=draw.randint(3, 9),
        layers=layers,
        hidden_size=draw.choice([4, 6, 9]),
        head_size=draw.randint(1, 5),
        ffn_stacks=draw.randint(1, 3),
        bottleneck_size=bottleneck_size,
        embedding_size=draw.choice([0, 4, 7]),
        max_positions=draw.randint(LENGTH, 9),
        token_types=draw.randint(0, 2),
        **(per_layer if draw.random() < 0.5 else uniform | draw.choice([{}, {"heads": per_layer["heads"]}])),
        **options,
    )


def counted(architecture: Architecture) -> Cost[int]:
    """What torch counts."""
    encoder = build(architecture, Head(kind=HeadKind.REGRESSION)).encoder
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    written = Counter()

    def wrote(module, inputs, output):
        written["values"] += output.numel()

    def read(module, inputs, output):
        written["values"] += inputs[0].numel()

    for module in encoder.modules():
        if isinstance(module, WRITERS):
            module.register_forward_hook(wrote)
    for layer in encoder.layers:
        if hasattr(layer.attention, "output"):
            layer.attention.output.register_forward_hook(read)
    ids = torch.randint(architecture.vocabulary_size, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))
    # The fused kernels of CPUs are one operation to the counter, with no formula of their own.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        encoder(ids)
    return Cost(
        parameters=parameters,
        macs=counter.get_total_flops() // 2,
        weight_bytes=4 * parameters,
        activation_bytes=4 * written["values"],
    )


def test_closed_form_is_what_torch_counts_on_200_random_architectures():
    draw = random.Random(0)
    seen = Counter()
    for _ in range(200):
        architecture = random_architecture(draw)
        assert cost(architecture, batch=BATCH, length=LENGTH) == counted(architecture), architecture
        seen.update(
            {
                "sizes per layer": not architecture.is_uniform,
                "layers without heads": 0 in architecture.heads_by_layer,
                "layers without neurons": 0 in architecture.ffn_sizes_by_layer,
                "mapped embeddings": architecture.embedding_size > 0,
                **{(name, getattr(architecture, name)): True for name in OPTIONS},
            }
        )
    assert all(seen[name] > 10 for name in seen), seen
    assert len(seen) == 4 + sum(len(values) for values in OPTIONS.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bytes_of_half_precision_are_those_of_the_tensors(dtype):
    architecture = random_architecture(random.Random(1))
    encoder = build(architecture, Head(kind=HeadKind.REGRESSION)).encoder.to(dtype)
    size_bytes = sum(parameter.numel() * parameter.element_size() for parameter in encoder.parameters())
    assert cost(architecture, dtype=str(dtype).removeprefix("torch.")).weight_bytes == size_bytes
