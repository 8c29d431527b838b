"""How much a model's loss rests on each of its heads, neurons and hidden units, by gradients.

A mask of ones stands on every head's context vector, on every neuron's activation and, where asked for, on the hidden
units wherever they are written. A unit's importance is the sum over batches of

    |d loss(batch) / d mask(unit)|

with the mean loss of the batch's labels, in one forward and backward pass a batch. It is normalised to length 1 within
each layer, heads and neurons apart, so that layers can be compared; hidden units, which all layers share, as a whole.

References: arXiv:2205.14570, section 3.2; arXiv:1905.10650, eq. 2 (the masks on heads).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distillation.batches import Batch, Encoded
from distillation.cache import Cache
from distillation.checkpoint import training_name
from distillation.decisions import Decisions, answer
from distillation.errors import Interrupted, TeacherError
from distillation.losses import hard_labels, values_mse
from distillation.observer import Observer, Unobserved
from encoders.importance import Importance, blocks_of, stacks_of
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import HeadKind

BATCH_SIZE = 32


def gradient_importance(
    model: StillhouseTaskModel,
    texts: Encoded,
    *,
    device: torch.device,
    hidden: bool = False,
    most: int | None = None,
    batch_size: int = BATCH_SIZE,
    observer: Observer | None = None,
) -> Importance:
    """The importance of the model's units for these texts, on the CPU; the model, on `device`, is left as it was.

    Args:
        hidden: of hidden units as well.
        most: no more of the texts' rows than that, evenly from the shortest to the longest.

    Raises:
        TeacherError: no text has a label.
        Interrupted: the observer asked for it.
    """
    masks = _masks(model, hidden)
    sums = [torch.zeros_like(mask) for mask in masks.all]
    seen = False
    with _evaluating(model), _masked(model, masks):
        for _, batch in texts.by_length(batch_size, most):
            if observer is not None and observer.should_stop():
                raise Interrupted("stopped while the importance of units was computed")
            loss = _loss(model, batch.to(device), texts.kind)
            if loss is None:
                continue
            seen = True
            for total, gradient in zip(sums, _gradients(loss, masks.all), strict=True):
                total += gradient.abs()
    if not seen:
        raise TeacherError("units have no importance without labels: none of the selection split's texts has one")
    found = iter([total.cpu() for total in sums])
    # In the order of `_Masks.all`.
    heads = tuple(_normalised(next(found)) for _ in masks.heads)
    neurons = tuple(_normalised(next(found)) for _ in masks.neurons)
    return Importance(hidden=_normalised(next(found)) if hidden else None, heads=heads, neurons=neurons)


def kept_importance(
    model: StillhouseTaskModel,
    texts: Encoded,
    *,
    content: str,
    cache: Cache | None,
    device: torch.device,
    hidden: bool = False,
    most: int | None = None,
    observer: Observer | None = None,
) -> Importance:
    """As `gradient_importance`, bit for bit, and from the cache where somebody on this machine has computed it before.

    Args:
        content: identifies the data whose selection split the texts are, and its tokens.

    Raises:
        TeacherError, Interrupted: as `gradient_importance`.
    """
    observer = observer or Unobserved()

    def computed() -> dict[str, Tensor]:
        observer.stage("importance of the teacher's units")
        return tensors_of(gradient_importance(model, texts, device=device, hidden=hidden, most=most, observer=observer))

    if cache is None:
        return importance_of_tensors(computed())
    # Weights alone do not say how they are computed with; another number of threads adds up in another order.
    computing = (model.config.to_json_string(), device.type, torch.get_num_threads(), torch.__version__)
    told_from = (content, texts.kind.value, texts.max_length, len(texts), int(texts.lengths.sum()), most, BATCH_SIZE)
    key = training_name(model, "importance", *told_from, hidden, *computing)
    return importance_of_tensors(cache.tensors(key, computed, observer=observer))


def tensors_of(importance: Importance) -> dict[str, Tensor]:
    """As tensors by name, for a file."""
    found = {} if importance.hidden is None else {"hidden": importance.hidden}
    for name, layers in (("heads", importance.heads), ("neurons", importance.neurons)):
        found |= {f"{name}.{index:04d}": layer for index, layer in enumerate(layers or ())}
    return found


def importance_of_tensors(tensors: Mapping[str, Tensor]) -> Importance:
    """The inverse of `tensors_of`, where heads and neurons are known."""

    def layers(kind: str) -> tuple[Tensor, ...]:
        return tuple(tensors[name] for name in sorted(tensors) if name.startswith(f"{kind}."))

    return Importance(hidden=tensors.get("hidden"), heads=layers("heads"), neurons=layers("neurons"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Masks:
    """Ones: of each layer (H,), of each layer (ffn_stacks, F), and of the hidden units (D,)."""

    heads: list[Tensor]
    neurons: list[Tensor]
    hidden: Tensor | None

    @property
    def all(self) -> list[Tensor]:
        return [*self.heads, *self.neurons, *([] if self.hidden is None else [self.hidden])]


def _masks(model: StillhouseTaskModel, hidden: bool) -> _Masks:
    like = next(model.parameters())

    def ones(*sizes: int) -> Tensor:
        return torch.ones(*sizes, device=like.device, dtype=like.dtype, requires_grad=True)

    blocks = blocks_of(model)
    neurons = []
    for block in blocks:
        stacks = stacks_of(block)
        neurons.append(ones(len(stacks), stacks[0].up.out_features if stacks[0].has_neurons else 0))
    return _Masks(
        heads=[ones(block.attention.heads) for block in blocks],
        neurons=neurons,
        hidden=ones(model.config.hidden_size) if hidden else None,
    )


@contextmanager
def _masked(model: StillhouseTaskModel, masks: _Masks) -> Iterator[None]:
    """Within, the model's units are multiplied by their masks."""
    with ExitStack() as stack:
        for block, heads, neurons in zip(blocks_of(model), masks.heads, masks.neurons, strict=True):
            attention = block.attention
            if attention.heads:
                stack.enter_context(_on_inputs(attention.output, heads, attention.head_size))
            for layer, mask in zip(stacks_of(block), neurons, strict=True):
                if layer.has_neurons:
                    stack.enter_context(_on_inputs(layer.down, mask, 1))
        for module in [] if masks.hidden is None else _writers(model):
            stack.enter_context(_on_outputs(module, masks.hidden))
        yield


@contextmanager
def _on_inputs(module: nn.Module, mask: Tensor, times: int) -> Iterator[None]:
    def masking(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (inputs[0] * mask.repeat_interleave(times),)

    handle = module.register_forward_pre_hook(masking)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _on_outputs(module: nn.Module, mask: Tensor | None) -> Iterator[None]:
    def masking(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output if mask is None else output * mask

    handle = module.register_forward_hook(masking)
    try:
        yield
    finally:
        handle.remove()


def _writers(model: StillhouseTaskModel) -> Iterator[nn.Module]:
    """The norms whose outputs are hidden states."""
    yield model.encoder.embeddings.norm
    for block in blocks_of(model):
        if block.expansion is not None:
            yield block.expansion.norm
            continue
        yield block.attention.norm
        for layer in stacks_of(block):
            yield layer.norm


def _loss(model: StillhouseTaskModel, batch: Batch, kind: HeadKind) -> Tensor | None:
    """The mean over what is labelled; None where nothing is."""
    made: Decisions = answer(model, batch, kind).decisions
    logits_NC, labels_N = made.logits[made.labelled], made.labels[made.labelled]
    if not len(labels_N):
        return None
    losses_N = values_mse(logits_NC, labels_N) if kind is HeadKind.REGRESSION else hard_labels(logits_NC, labels_N)
    return losses_N.mean()


def _gradients(loss: Tensor, masks: list[Tensor]) -> list[Tensor]:
    # A layer may have no units, and of a model the last neurons may not reach the loss.
    found = torch.autograd.grad(loss, masks, allow_unused=True)
    return [torch.zeros_like(mask) if each is None else each for mask, each in zip(masks, found, strict=True)]


@contextmanager
def _evaluating(model: StillhouseTaskModel) -> Iterator[None]:
    """Within, no dropout, and no gradients but those of masks."""
    was_training = model.training
    asking = [weight for weight in model.parameters() if weight.requires_grad]
    model.train(False)
    for weight in asking:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        model.train(was_training)
        for weight in asking:
            weight.requires_grad_(True)


def _normalised(values: Tensor) -> Tensor:
    """Of length 1, or all 0."""
    length = torch.linalg.vector_norm(values)
    return values / length if float(length) > 0 else torch.zeros_like(values)
