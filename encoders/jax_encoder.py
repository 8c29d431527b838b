"""The encoder family in JAX: pure functions over a flat mapping of parameters.

The parameters have the names and layouts of the PyTorch model's state, and the numbers are the PyTorch model's in
evaluation mode (there is no dropout here). Layers are unrolled: XLA's cost analysis counts the body of a scan once, and
each layer may have its own sizes. Softmax and layer norm statistics are in float32, whatever the parameters' dtype.

Products of float32 arrays are as exact as the platform's default, which on a TPU and on newer GPUs is less than
float32; trace under `jax.default_matmul_precision("highest")` where that counts.

Nothing here needs torch. Shapes: B batch, L length, M length of the keys, D hidden, H heads, K head size, C classes,
V vocabulary, N layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, assert_never

import numpy as np
import numpy.typing as npt

from encoders.errors import CheckpointError, EncoderError, few
from encoders.values import Head, HeadKind, Pooling
from search_space import Activation, Architecture, AttentionInput, Norm, Pooler

try:
    import jax
    import jax.numpy as jnp
    from jax import Array, lax
    from jax.typing import DTypeLike
except ImportError as error:
    raise ImportError("the JAX encoder needs the `jax` extra: pip install 'stillhouse[jax]'") from error

STATIC = (
    "architecture",
    "head",
    "layer_norm_eps",
    "embedding_norm_eps",
    "output_hidden_states",
    "output_attentions",
    "output_projections",
)
"""The arguments of `apply` that `jax.jit` must be told are static: `jax.jit(apply, static_argnames=STATIC)`."""

LOWEST = float(np.finfo(np.float32).min)
"""The score of a padding token. Not -inf, of which a text that is all padding, and all gradients with it, would be NaN.
"""


class Projections(NamedTuple):
    """The queries, keys and values of a layer's heads, each (B, H, L, K); the queries are not yet scaled."""

    query: Array
    key: Array
    value: Array


class Outputs(NamedTuple):
    """What was computed; all that the head does not have, or nobody asked for, is None.

    Args:
        logits: (B, C); of a regression (B, 1); of each token (B, L, C); of each token over the vocabulary (B, L, V).
        start_logits, end_logits: (B, L), of question answering.
        last_hidden_state: (B, L, D). Hidden states at padding are meaningless.
        pooler_output: (B, D), of an encoder with a pooler.
        hidden_states: N + 1 of (B, L, D), the embeddings first.
        attentions: N of (B, H, L, L), softmax over the last; None for a layer without heads.
        projections: the queries, keys and values of N layers; None for a layer without heads.
    """

    logits: Array | None = None
    start_logits: Array | None = None
    end_logits: Array | None = None
    last_hidden_state: Array | None = None
    pooler_output: Array | None = None
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array | None, ...] | None = None
    projections: tuple[Projections | None, ...] | None = None


def apply(
    parameters: Mapping[str, Array],
    architecture: Architecture,
    head: Head,
    input_ids: npt.ArrayLike | Array,
    attention_mask: npt.ArrayLike | Array | None = None,
    token_type_ids: npt.ArrayLike | Array | None = None,
    *,
    layer_norm_eps: float = 1e-12,
    embedding_norm_eps: float | None = None,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
    output_projections: bool = False,
) -> Outputs:
    """What the PyTorch model of this architecture, head and parameters computes.

    The dtype of the parameters is the dtype of the computation and of all outputs. Token ids that the vocabulary does
    not have give NaN, where torch raises an error. In a text that is all padding no head attends to anything, and its
    attention maps are zeros.

    Args:
        input_ids, attention_mask, token_type_ids: integers (B, L); the mask is 0 where a token is padding.
        layer_norm_eps: as in the model's configuration.
        embedding_norm_eps: None for that of the other norms.

    Raises:
        EncoderError: L is more than the positions of the architecture.
        CheckpointError: the parameters are not those of this architecture and head.
    """
    _check(parameters, architecture, head)
    ids_BL = jnp.asarray(input_ids)
    mask_BL = None if attention_mask is None else jnp.asarray(attention_mask) != 0
    types_BL = None if token_type_ids is None else jnp.asarray(token_type_ids)
    weights = Weights(parameters, layer_norm_eps)
    encoder = weights.below("encoder")
    hidden_BLD = _embed(encoder.below("embeddings", eps=embedding_norm_eps), architecture, ids_BL, mask_BL, types_BL)
    hidden_states, attentions, projections = [hidden_BLD], [], []
    for index, (heads, ffn_size) in enumerate(
        zip(architecture.heads_by_layer, architecture.ffn_sizes_by_layer, strict=True)
    ):
        layer = encoder.below(f"layers.{index}")
        hidden_BLD, attention, projected = _block(layer, architecture, heads, ffn_size, hidden_BLD, mask_BL)
        hidden_states.append(hidden_BLD)
        attentions.append(attention)
        projections.append(projected)
    pooled_BD = _pooler(encoder, architecture, hidden_BLD)
    return _head(weights, architecture, head, hidden_BLD, pooled_BD, mask_BL)._replace(
        last_hidden_state=hidden_BLD,
        pooler_output=pooled_BD,
        hidden_states=tuple(hidden_states) if output_hidden_states else None,
        attentions=tuple(attentions) if output_attentions else None,
        projections=tuple(projections) if output_projections else None,
    )


def to_jax(parameters: Mapping[str, npt.ArrayLike], dtype: DTypeLike = jnp.float32) -> dict[str, Array]:
    """Copies of the arrays on JAX's default device, in this floating dtype, under their names."""
    # A copy in any case: JAX would share the memory of an array on the CPU that torch may still write to.
    return {name: jnp.array(value, dtype=dtype) for name, value in parameters.items()}


def parameter_shapes(architecture: Architecture, head: Head) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the parameters, as in the state of the PyTorch model, in no particular order.

    With `jax.ShapeDtypeStruct` of them a program can be compiled without any weights.
    """
    hidden, block, word = architecture.hidden_size, architecture.block_size, architecture.word_size
    shapes = {
        "encoder.embeddings.word.weight": (architecture.vocabulary_size, word),
        "encoder.embeddings.position.weight": (architecture.max_positions, hidden),
        **_pair("encoder.embeddings.norm", hidden),
    }
    if _maps_embeddings(architecture):
        shapes |= _pair("encoder.embeddings.projection", hidden, 3 * word if architecture.trigram else word)
    if architecture.token_types:
        shapes["encoder.embeddings.token_type.weight"] = (architecture.token_types, hidden)
    if architecture.pooler is not Pooler.NONE:
        shapes |= _pair("encoder.pooler", hidden, hidden)
    sizes = zip(architecture.heads_by_layer, architecture.ffn_sizes_by_layer, strict=True)
    for index, (heads, ffn_size) in enumerate(sizes):
        layer = f"encoder.layers.{index}"
        if architecture.bottleneck_size:
            shapes |= _pair(f"{layer}.bottleneck.linear", block, hidden) | _pair(f"{layer}.bottleneck.norm", block)
            shapes |= _pair(f"{layer}.expansion.linear", hidden, block) | _pair(f"{layer}.expansion.norm", hidden)
        if heads and architecture.attention_input is AttentionInput.SHARED:
            shapes |= _pair(f"{layer}.shared.linear", block, hidden) | _pair(f"{layer}.shared.norm", block)
        shapes |= _attention_shapes(f"{layer}.attention", architecture, heads)
        for stack in range(architecture.ffn_stacks):
            ffn = f"{layer}.feed_forward.{stack}"
            if ffn_size:
                shapes |= _pair(f"{ffn}.up", ffn_size, block) | _pair(f"{ffn}.down", block, ffn_size)
            shapes |= _pair(f"{ffn}.norm", block)
    return shapes | _head_shapes(architecture, head)


@dataclass(frozen=True, slots=True)
class Weights:
    """The parameters whose names begin with a prefix, and the eps of their norms."""

    parameters: Mapping[str, Array]
    eps: float
    prefix: str = ""

    def __getitem__(self, name: str) -> Array:
        return self.parameters[self.prefix + name]

    def below(self, name: str, *, eps: float | None = None) -> Weights:
        return Weights(self.parameters, self.eps if eps is None else eps, f"{self.prefix}{name}.")

    def linear(self, name: str, inputs: Array) -> Array:
        weight, bias = self[f"{name}.weight"], self[f"{name}.bias"]
        return _times_transposed(inputs, weight) + bias

    def norm(self, norm: Norm, hidden: Array) -> Array:
        """The norm named `norm` below the prefix."""
        weight, bias = self["norm.weight"], self["norm.bias"]
        if norm is Norm.NO_NORM:
            return hidden * weight + bias
        wide = _wide(hidden)
        centred = wide - wide.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        normalised = centred * lax.rsqrt(variance + self.eps)
        return (normalised * _wide(weight) + _wide(bias)).astype(hidden.dtype)


def _embed(
    weights: Weights, architecture: Architecture, ids_BL: Array, mask_BL: Array | None, types_BL: Array | None
) -> Array:
    length = ids_BL.shape[1]
    if length > architecture.max_positions:
        raise EncoderError(
            f"a text of {length} tokens is longer than the {architecture.max_positions} positions of this model;"
            " truncate it"
        )
    words = _rows(weights["word.weight"], ids_BL)
    if architecture.trigram:
        if mask_BL is not None:  # else the last token would read the padding behind it
            words = words * mask_BL[:, :, None].astype(words.dtype)
        after = jnp.pad(words[:, 1:], ((0, 0), (0, 1), (0, 0)))
        before = jnp.pad(words[:, :-1], ((0, 0), (1, 0), (0, 0)))
        words = jnp.concatenate((after, words, before), axis=2)
    if _maps_embeddings(architecture):
        words = weights.linear("projection", words)
    embedded_BLD = words + weights["position.weight"][:length]
    if architecture.token_types:
        types = weights["token_type.weight"]
        embedded_BLD = embedded_BLD + (types[0] if types_BL is None else _rows(types, types_BL))
    return weights.norm(architecture.norm, embedded_BLD)


def _block(
    weights: Weights, architecture: Architecture, heads: int, ffn_size: int, hidden_BLD: Array, mask_BL: Array | None
) -> tuple[Array, Array | None, Projections | None]:
    inner = hidden_BLD
    if architecture.bottleneck_size:
        inner = _normed_linear(weights, architecture, "bottleneck", hidden_BLD)
    attention, seen, projections = weights.below("attention"), None, None
    if heads:
        value_input = inner if architecture.attention_input is AttentionInput.BOTTLENECK else hidden_BLD
        query_input = value_input
        if architecture.attention_input is AttentionInput.SHARED:
            query_input = _normed_linear(weights, architecture, "shared", hidden_BLD)
        projections = _project(attention, heads, query_input, value_input)
        seen = _attention_map(projections, mask_BL)
        attended_BLHK = jnp.einsum("BHLM,BHMK->BLHK", seen, projections.value)
        inner = attention.linear("output", lax.collapse(attended_BLHK, 2)) + inner
    inner = attention.norm(architecture.norm, inner)
    for stack in range(architecture.ffn_stacks):
        inner = _feed_forward(weights.below(f"feed_forward.{stack}"), architecture, ffn_size, inner)
    if architecture.bottleneck_size:
        inner = _normed_linear(weights, architecture, "expansion", inner, residual=hidden_BLD)
    return inner, seen, projections


def _feed_forward(weights: Weights, architecture: Architecture, ffn_size: int, inner: Array) -> Array:
    if ffn_size:
        inner = weights.linear("down", _activate(architecture.activation, weights.linear("up", inner))) + inner
    return weights.norm(architecture.norm, inner)


def _normed_linear(
    weights: Weights, architecture: Architecture, name: str, hidden: Array, residual: Array | None = None
) -> Array:
    mapped = weights.below(name).linear("linear", hidden)
    return weights.below(name).norm(architecture.norm, mapped if residual is None else mapped + residual)


def _project(attention: Weights, heads: int, query_input: Array, value_input: Array) -> Projections:
    inputs = {"query": query_input, "key": query_input, "value": value_input}
    return Projections(**{name: _split(attention.linear(name, read), heads) for name, read in inputs.items()})


def _attention_map(projections: Projections, mask_BL: Array | None) -> Array:
    """softmax(Q K' / sqrt(head_size)) over the real tokens, (B, H, L, M); zeros where there is none."""
    query, key, value = projections
    scores_BHLM = jnp.einsum("BHLK,BHMK->BHLM", query, key, preferred_element_type=_wide(value).dtype)
    scores_BHLM = scores_BHLM * (1 / math.sqrt(query.shape[-1]))
    if mask_BL is None:
        return jax.nn.softmax(scores_BHLM, axis=-1).astype(value.dtype)
    mask_B11M = mask_BL[:, None, None, :]
    masked_BHLM = jnp.where(mask_B11M, scores_BHLM, LOWEST)
    return jnp.where(mask_B11M, jax.nn.softmax(masked_BHLM, axis=-1), 0).astype(value.dtype)


def _pooler(weights: Weights, architecture: Architecture, hidden_BLD: Array) -> Array | None:
    match architecture.pooler:
        case Pooler.NONE:
            return None
        case Pooler.TANH:
            return jnp.tanh(weights.linear("pooler", hidden_BLD[:, 0]))
        case Pooler.RELU:
            return jax.nn.relu(weights.linear("pooler", hidden_BLD[:, 0]))
        case _:
            assert_never(architecture.pooler)


def _head(
    weights: Weights,
    architecture: Architecture,
    head: Head,
    hidden_BLD: Array,
    pooled_BD: Array | None,
    mask_BL: Array | None,
) -> Outputs:
    match head.kind:
        case HeadKind.CLASSIFICATION | HeadKind.REGRESSION:
            return Outputs(logits=weights.linear("classifier", _pool(head.pooling, hidden_BLD, pooled_BD, mask_BL)))
        case HeadKind.TOKEN_CLASSIFICATION:
            return Outputs(logits=weights.linear("classifier", hidden_BLD))
        case HeadKind.QUESTION_ANSWERING:
            ends_BL2 = weights.linear("classifier", hidden_BLD)
            return Outputs(start_logits=ends_BL2[:, :, 0], end_logits=ends_BL2[:, :, 1])
        case HeadKind.MASKED_LM:
            transformed = _activate(architecture.activation, weights.linear("transform", hidden_BLD))
            # A layer norm even in an encoder without.
            normalised = weights.norm(Norm.LAYER_NORM, transformed)
            return Outputs(
                logits=_times_transposed(normalised, weights["encoder.embeddings.word.weight"]) + weights["bias"]
            )
        case _:
            assert_never(head.kind)


def _pool(pooling: Pooling, hidden_BLD: Array, pooled_BD: Array | None, mask_BL: Array | None) -> Array:
    if pooling is Pooling.CLS:
        return hidden_BLD[:, 0] if pooled_BD is None else pooled_BD
    if mask_BL is None:
        return _wide(hidden_BLD).mean(axis=1).astype(hidden_BLD.dtype)
    real_BL1 = _wide(mask_BL[:, :, None].astype(hidden_BLD.dtype))
    # A text without any token pools to zeros, not to NaN.
    mean_BD = (_wide(hidden_BLD) * real_BL1).sum(axis=1) / jnp.maximum(real_BL1.sum(axis=1), 1)
    return mean_BD.astype(hidden_BLD.dtype)


def _activate(activation: Activation, inputs: Array) -> Array:
    match activation:
        case Activation.RELU:
            return jax.nn.relu(inputs)
        case Activation.GELU:
            wide = _wide(inputs)
            # Not jax.nn.gelu: it takes erfc, which XLA has to expand, while erf is an operation of its own. Of a
            # 4 x 312 encoder in bfloat16 the compiler for a TPU v4 core estimates 4 % more cycles with it at batch 1
            # (334,286 against 321,686), 14 % more at batch 8.
            return (0.5 * wide * (1 + lax.erf(wide * math.sqrt(0.5)))).astype(inputs.dtype)
        case _:
            assert_never(activation)


def _times_transposed(inputs: Array, weight: Array) -> Array:
    """inputs W' for W (out, in), as torch keeps it: nothing is transposed in memory."""
    contracted = (((inputs.ndim - 1,), (1,)), ((), ()))
    return lax.dot_general(inputs, weight, contracted)


def _rows(table: Array, ids: Array) -> Array:
    # "fill": an id beyond the table gives NaN, where clipping would quietly give another token. It costs 0.4 % of the
    # cycles in the same estimate at batch 1.
    return jnp.take(table, ids, axis=0, mode="fill")


def _split(projected: Array, heads: int) -> Array:
    """(B, L, H * K) to (B, H, L, K)."""
    # No -1 for the head size: of a batch of no texts it cannot be told.
    return projected.reshape(*projected.shape[:2], heads, projected.shape[2] // heads).transpose(0, 2, 1, 3)


def _wide(array: Array) -> Array:
    """In float32, or in the array's own dtype if that is wider."""
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def _maps_embeddings(architecture: Architecture) -> bool:
    return architecture.trigram or architecture.word_size != architecture.hidden_size


def _attention_shapes(name: str, architecture: Architecture, heads: int) -> dict[str, tuple[int, ...]]:
    hidden, block, width = architecture.hidden_size, architecture.block_size, heads * architecture.head_size
    shapes = _pair(f"{name}.norm", block)
    if heads:
        value_input = block if architecture.attention_input is AttentionInput.BOTTLENECK else hidden
        query_input = hidden if architecture.attention_input is AttentionInput.INPUT else block
        shapes |= _pair(f"{name}.query", width, query_input) | _pair(f"{name}.key", width, query_input)
        shapes |= _pair(f"{name}.value", width, value_input) | _pair(f"{name}.output", block, width)
    return shapes


def _head_shapes(architecture: Architecture, head: Head) -> dict[str, tuple[int, ...]]:
    hidden, word = architecture.hidden_size, architecture.word_size
    match head.kind:
        case HeadKind.CLASSIFICATION | HeadKind.TOKEN_CLASSIFICATION:
            return _pair("classifier", head.classes, hidden)
        case HeadKind.REGRESSION:
            return _pair("classifier", 1, hidden)
        case HeadKind.QUESTION_ANSWERING:
            return _pair("classifier", 2, hidden)
        case HeadKind.MASKED_LM:
            return _pair("transform", word, hidden) | _pair("norm", word) | {"bias": (architecture.vocabulary_size,)}
        case _:
            assert_never(head.kind)


def _pair(name: str, *weight: int) -> dict[str, tuple[int, ...]]:
    """A weight of this shape, and a bias for each of its outputs."""
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _check(parameters: Mapping[str, Array], architecture: Architecture, head: Head) -> None:
    expected = parameter_shapes(architecture, head)
    problems = {
        "missing": sorted(expected.keys() - parameters.keys()),
        "unknown": sorted(parameters.keys() - expected.keys()),
        "of another shape": [
            f"{name} {list(parameters[name].shape)} instead of {list(shape)}"
            for name, shape in sorted(expected.items())
            if name in parameters and parameters[name].shape != shape
        ],
    }
    found = [f"{what}: {few(names)}" for what, names in problems.items() if names]
    if found:
        raise CheckpointError(f"these parameters do not fit {architecture.label} for {head.kind}; {'; '.join(found)}")
