"""The encoder family in PyTorch: configuration, encoder, and a model for each kind of task.

This file travels inside exported models, so it imports nothing but torch and transformers.

With input x, a block computes

    z   = norm(W_in x) with a bottleneck, else x
    y   = norm(W_o attention(Q, K, V) + z)
    y   = norm(W_2 act(W_1 y) + y), ffn_stacks times
    out = norm(W_out y + x) with a bottleneck, else y

Shapes: B batch, L length, D hidden, H heads, K head size, F feed-forward, E word embedding, V vocabulary, C classes,
N layers.
"""

# mypy: allow-untyped-calls
# (transformers' constructors and registrations carry no types)

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}
CHOICES = {
    "activation": ("gelu", "relu"),
    "norm": ("layer_norm", "no_norm"),
    "attention_input": ("input", "shared", "bottleneck"),
    "pooler": ("none", "tanh", "relu"),
    "pooling": ("cls", "mean"),
}


class StillhouseConfig(PretrainedConfig):
    """The shape of an encoder, and how its hidden states become logits.

    `heads` and `ffn_size` are one number, or a list of one for each layer. A `bottleneck_size` of 0 is none, an
    `embedding_size` of 0 is the hidden size. The heads together are `heads * head_size` wide, whatever they read.

    Raises:
        ValueError: an unknown choice, or sizes per layer that are not as many as the layers.
    """

    model_type = "stillhouse"
    attribute_map = {  # noqa: RUF012 (transformers declares it without ClassVar)
        "vocab_size": "vocabulary_size",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "intermediate_size": "ffn_size",
        "max_position_embeddings": "max_positions",
        "type_vocab_size": "token_types",
        "hidden_act": "activation",
    }

    def __init__(
        self,
        vocabulary_size: int = 30_522,
        layers: int = 12,
        hidden_size: int = 768,
        heads: int | list[int] = 12,
        head_size: int = 64,
        ffn_size: int | list[int] = 3072,
        ffn_stacks: int = 1,
        bottleneck_size: int = 0,
        attention_input: str = "input",
        embedding_size: int = 0,
        trigram: bool = False,
        norm: str = "layer_norm",
        activation: str = "gelu",
        pooler: str = "none",
        max_positions: int = 512,
        token_types: int = 2,
        pooling: str = "mean",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        layer_norm_eps: float = 1e-12,
        embedding_norm_eps: float | None = None,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        chosen = {
            "activation": activation,
            "norm": norm,
            "attention_input": attention_input,
            "pooler": pooler,
            "pooling": pooling,
        }
        for name, value in chosen.items():
            if value not in CHOICES[name]:
                raise ValueError(f"unknown {name} {value!r}; known are {', '.join(CHOICES[name])}")
        for name, sizes in {"heads": heads, "ffn_size": ffn_size}.items():
            if isinstance(sizes, Sequence) and len(sizes) != layers:
                raise ValueError(f"{name} names {len(sizes)} sizes for {layers} layers")
        self.vocabulary_size = vocabulary_size
        self.layers = layers
        self.hidden_size = hidden_size
        self.heads = heads
        self.head_size = head_size
        self.ffn_size = ffn_size
        self.ffn_stacks = ffn_stacks
        self.bottleneck_size = bottleneck_size
        self.attention_input = attention_input
        self.embedding_size = embedding_size
        self.trigram = trigram
        self.norm = norm
        self.activation = activation
        self.pooler = pooler
        self.max_positions = max_positions
        self.token_types = token_types
        self.pooling = pooling
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.layer_norm_eps = layer_norm_eps
        self.embedding_norm_eps = layer_norm_eps if embedding_norm_eps is None else embedding_norm_eps
        self.initializer_range = initializer_range
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__init__(**kwargs)


class Projections(NamedTuple):
    """The queries, keys and values of a layer's heads, each (B, H, L, K); the queries are not yet scaled."""

    query: Tensor
    key: Tensor
    value: Tensor


@dataclass
class StillhouseOutput(ModelOutput):
    """What was computed; all that nobody asked for is None.

    Args:
        loss: a scalar, given labels.
        logits: (B, C); of each token (B, L, C); of each token over the vocabulary (B, L, V).
        start_logits, end_logits: (B, L), of question answering.
        last_hidden_state: (B, L, D). Hidden states at padding are meaningless.
        pooler_output: (B, D), of an encoder with a pooler.
        hidden_states: N + 1 of (B, L, D), the embeddings first.
        attentions: N of (B, H, L, L), softmax over the last; None for a layer without heads.
        projections: the queries, keys and values of N layers; None for a layer without heads.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor | None, ...] | None = None
    projections: tuple[Projections | None, ...] | None = None


class StillhouseModel(PreTrainedModel):
    """What the models of this family share with transformers."""

    config: StillhouseConfig
    config_class = StillhouseConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def _init_weights(self, module: nn.Module) -> None:
        """As BERT starts: normal weights of standard deviation `initializer_range`, zero biases, unit norms."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, nn.LayerNorm | NoNorm):
            nn.init.ones_(module.weight)
        if isinstance(getattr(module, "bias", None), Tensor):
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


class StillhouseEncoder(StillhouseModel):
    """Token ids in, hidden states out: embeddings, post-norm blocks and, where there is one, the pooler."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        heads, ffn_sizes = _per_layer(config.heads, config.layers), _per_layer(config.ffn_size, config.layers)
        self.layers = nn.ModuleList(Block(config, *sizes) for sizes in zip(heads, ffn_sizes, strict=True))
        has_pooler = config.pooler != "none"
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if has_pooler else None
        self.pooler_activation = ACTIVATIONS[config.pooler]() if has_pooler else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word

    def set_input_embeddings(self, value: nn.Module) -> None:
        if not isinstance(value, nn.Embedding):
            raise TypeError(f"the word embeddings must be an Embedding, got {type(value).__name__}")
        self.embeddings.word = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        output_projections: bool | None = None,
        return_dict: bool | None = None,
    ) -> StillhouseOutput | tuple[Any, ...]:
        """`input_ids`, `token_type_ids` and `attention_mask` are (B, L); the mask is 0 where a token is padding.

        `output_projections` asks for the queries, keys and values.

        Raises:
            ValueError: L is more than the positions of the model.
        """
        hidden_wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        maps_wanted = self.config.output_attentions if output_attentions is None else output_attentions
        # (B, 1, 1, L): every query of every head sees the real tokens of its own text.
        mask = None if attention_mask is None else attention_mask[:, None, None, :].to(torch.bool)
        hidden_BLD = self.embeddings(input_ids, attention_mask, token_type_ids)
        hidden_states = [hidden_BLD]
        seen = []
        for layer in self.layers:
            hidden_BLD, details = layer(hidden_BLD, mask, bool(maps_wanted), bool(output_projections))
            if hidden_wanted:
                hidden_states.append(hidden_BLD)
            seen.append(details)
        output = StillhouseOutput(
            last_hidden_state=hidden_BLD,
            pooler_output=self._pooled(hidden_BLD),
            hidden_states=tuple(hidden_states) if hidden_wanted else None,
            attentions=tuple(each.attention for each in seen) if maps_wanted else None,
            projections=tuple(each.projections for each in seen) if output_projections else None,
        )
        return output if _as_dict(self.config, return_dict) else output.to_tuple()

    def _pooled(self, hidden_BLD: Tensor) -> Tensor | None:
        if self.pooler is None or self.pooler_activation is None:
            return None
        pooled: Tensor = self.pooler_activation(self.pooler(hidden_BLD[:, 0]))
        return pooled


class StillhouseTaskModel(StillhouseModel):
    """An encoder on which the layers of a task stand."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.num_labels = len(config.id2label or ())
        self.encoder = StillhouseEncoder(config)
        self.dropout = _dropout(config.dropout)

    def _output(
        self, encoded: StillhouseOutput, return_dict: bool | None, **computed: Tensor | None
    ) -> StillhouseOutput | tuple[Any, ...]:
        output = StillhouseOutput(
            **computed,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            projections=encoded.projections,
        )
        return output if _as_dict(self.config, return_dict) else output.to_tuple()


class StillhouseForSequenceClassification(StillhouseTaskModel):
    """An encoder, pooling and a linear classifier; of one label, a regression."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **wanted: bool | None,
    ) -> StillhouseOutput | tuple[Any, ...]:
        """As the encoder's; `labels` are class indices (B,), class probabilities (B, C), or values (B,) to regress."""
        encoded = self.encoder(input_ids, attention_mask, token_type_ids, return_dict=True, **wanted)
        logits_BC = self.classifier(self.dropout(self.pool(encoded, attention_mask)))
        loss = None
        if labels is not None and self.num_labels == 1:
            loss = functional.mse_loss(logits_BC[:, 0], labels.to(logits_BC.dtype))
        elif labels is not None:
            loss = functional.cross_entropy(logits_BC, labels)
        return self._output(encoded, return_dict, loss=loss, logits=logits_BC)

    def pool(self, encoded: StillhouseOutput, attention_mask: Tensor | None) -> Tensor:
        """The (B, D) vector of each text: its first token, through the pooler if there is one, or the mean of its
        real tokens.
        """
        hidden_BLD = encoded.last_hidden_state
        if hidden_BLD is None:
            raise ValueError("the encoder's output has no last_hidden_state")
        if self.config.pooling == "cls":
            return hidden_BLD[:, 0] if encoded.pooler_output is None else encoded.pooler_output
        if attention_mask is None:
            return hidden_BLD.mean(dim=1)
        is_real_BL = attention_mask != 0
        real_BL1 = is_real_BL[:, :, None].to(hidden_BLD.dtype)
        # A text without any token pools to zeros, not to NaN. bfloat16 cannot count beyond 256.
        count_B1 = is_real_BL.sum(dim=1, keepdim=True, dtype=torch.float32).clamp(min=1)
        return ((hidden_BLD * real_BL1).sum(dim=1) / count_B1).to(hidden_BLD.dtype)


class StillhouseForTokenClassification(StillhouseTaskModel):
    """An encoder and a linear classifier of every token."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **wanted: bool | None,
    ) -> StillhouseOutput | tuple[Any, ...]:
        """As the encoder's; `labels` (B, L) are class indices, -100 where a token has none."""
        encoded = self.encoder(input_ids, attention_mask, token_type_ids, return_dict=True, **wanted)
        logits_BLC = self.classifier(self.dropout(encoded.last_hidden_state))
        return self._output(encoded, return_dict, loss=_token_loss(logits_BLC, labels), logits=logits_BLC)


class StillhouseForQuestionAnswering(StillhouseTaskModel):
    """An encoder and, for every token, a score of starting and one of ending the answer."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        return_dict: bool | None = None,
        **wanted: bool | None,
    ) -> StillhouseOutput | tuple[Any, ...]:
        """As the encoder's; the positions (B,) are of the answer's first and last token, L where it was cut off."""
        encoded = self.encoder(input_ids, attention_mask, token_type_ids, return_dict=True, **wanted)
        start_BL, end_BL = self.classifier(self.dropout(encoded.last_hidden_state)).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            beyond = input_ids.shape[1]
            ends = ((start_BL, start_positions), (end_BL, end_positions))
            losses = [functional.cross_entropy(each, at.clamp(max=beyond), ignore_index=beyond) for each, at in ends]
            loss = torch.stack(losses).mean()
        return self._output(encoded, return_dict, loss=loss, start_logits=start_BL, end_logits=end_BL)


class StillhouseForMaskedLM(StillhouseTaskModel):
    """An encoder and a guess of every token; the output layer is the word embeddings."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.transform = nn.Linear(config.hidden_size, _word_size(config))
        self.activation = ACTIVATIONS[config.activation]()
        self.norm = nn.LayerNorm(_word_size(config), eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **wanted: bool | None,
    ) -> StillhouseOutput | tuple[Any, ...]:
        """As the encoder's; `labels` (B, L) are token ids, -100 where nothing was masked."""
        encoded = self.encoder(input_ids, attention_mask, token_type_ids, return_dict=True, **wanted)
        logits_BLV = self.vocabulary_logits(encoded.last_hidden_state)
        return self._output(encoded, return_dict, loss=_token_loss(logits_BLV, labels), logits=logits_BLV)

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *settings: Any, **named: Any) -> nn.Embedding:
        """As transformers'; the bias follows the words, at 0 for new ones."""
        words: nn.Embedding = super().resize_token_embeddings(new_num_tokens, *settings, **named)
        more = words.num_embeddings - len(self.bias)
        if more:
            self.bias = nn.Parameter(functional.pad(self.bias.detach(), (0, more)))
        return words

    def vocabulary_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., V); a trainer asks only for the masked tokens."""
        transformed = self.norm(self.activation(self.transform(hidden)))
        return functional.linear(transformed, self.encoder.embeddings.word.weight, self.bias)


class Embeddings(nn.Module):
    """The normalised sum of word, position and, where there are any, token type embeddings."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__()
        word_size = _word_size(config)
        self.word = nn.Embedding(config.vocabulary_size, word_size)
        self.trigram = config.trigram
        is_mapped = config.trigram or word_size != config.hidden_size
        read = 3 * word_size if config.trigram else word_size
        self.projection = nn.Linear(read, config.hidden_size) if is_mapped else None
        self.position = nn.Embedding(config.max_positions, config.hidden_size)
        self.token_type = nn.Embedding(config.token_types, config.hidden_size) if config.token_types else None
        self.norm = _norm(config, config.hidden_size, config.embedding_norm_eps)
        self.dropout = _dropout(config.dropout)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        length = input_ids.shape[1]
        if length > self.position.num_embeddings:
            raise ValueError(
                f"a text of {length} tokens is longer than the {self.position.num_embeddings} positions of this model;"
                " truncate it"
            )
        embedded_BLD = self._words(input_ids, attention_mask) + self.position.weight[:length]
        if self.token_type is not None:
            # Without types every token is of type 0. Types given to a model without them (tokenizers add them
            # unasked) say nothing to it.
            of_type = self.token_type.weight[0] if token_type_ids is None else self.token_type(token_type_ids)
            embedded_BLD = embedded_BLD + of_type
        result: Tensor = self.dropout(self.norm(embedded_BLD))
        return result

    def _words(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        words: Tensor = self.word(input_ids)
        if self.trigram:
            if attention_mask is not None:  # else the last token would read the padding behind it
                words = words * (attention_mask[:, :, None] != 0).to(words.dtype)
            after = functional.pad(words[:, 1:], (0, 0, 0, 1))
            before = functional.pad(words[:, :-1], (0, 0, 1, 0))
            words = torch.cat((after, words, before), dim=2)
        return words if self.projection is None else self.projection(words)


@dataclass(slots=True)
class Details:
    """What a layer's attention computed on its way, where it was asked for and the layer has heads."""

    attention: Tensor | None = None
    projections: Projections | None = None


class Block(nn.Module):
    """Attention and stacked feed-forward layers, between the maps into and out of the bottleneck if there is one."""

    def __init__(self, config: StillhouseConfig, heads: int, ffn_size: int) -> None:
        super().__init__()
        hidden, bottleneck = config.hidden_size, config.bottleneck_size
        self.bottleneck = NormedLinear(config, hidden, bottleneck) if bottleneck else None
        is_shared = config.attention_input == "shared" and heads > 0
        self.shared = NormedLinear(config, hidden, bottleneck) if is_shared else None
        self.attention_reads_bottleneck = config.attention_input == "bottleneck"
        self.attention = Attention(config, heads)
        self.feed_forward = nn.ModuleList(FeedForward(config, ffn_size) for _ in range(config.ffn_stacks))
        self.expansion = NormedLinear(config, bottleneck, hidden) if bottleneck else None

    def forward(
        self, hidden_BLD: Tensor, mask: Tensor | None, map_wanted: bool, projections_wanted: bool
    ) -> tuple[Tensor, Details]:
        inner = hidden_BLD if self.bottleneck is None else self.bottleneck(hidden_BLD)
        value_input = inner if self.attention_reads_bottleneck else hidden_BLD
        query_input = value_input if self.shared is None else self.shared(hidden_BLD)
        inner, details = self.attention(inner, query_input, value_input, mask, map_wanted, projections_wanted)
        for layer in self.feed_forward:
            inner = layer(inner)
        return (inner if self.expansion is None else self.expansion(inner, residual=hidden_BLD)), details


class NormedLinear(nn.Module):
    """A linear map and a norm: into a bottleneck, or out of it and added to the block's input."""

    def __init__(self, config: StillhouseConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = _norm(config, outputs)
        self.dropout = _dropout(config.dropout)

    def forward(self, hidden: Tensor, residual: Tensor | None = None) -> Tensor:
        mapped = self.linear(hidden)
        result: Tensor = self.norm(mapped if residual is None else self.dropout(mapped) + residual)
        return result


class Attention(nn.Module):
    """softmax(Q K' / sqrt(head_size)) V of every head, mapped back, added to the input and normalised."""

    def __init__(self, config: StillhouseConfig, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = config.head_size
        self.attention_dropout = config.attention_dropout
        block = config.bottleneck_size or config.hidden_size
        if heads:
            width = heads * config.head_size
            value_input = block if config.attention_input == "bottleneck" else config.hidden_size
            query_input = value_input if config.attention_input == "input" else block
            self.query = nn.Linear(query_input, width)
            self.key = nn.Linear(query_input, width)
            self.value = nn.Linear(value_input, width)
            self.output = nn.Linear(width, block)
        self.norm = _norm(config, block)
        self.dropout = _dropout(config.dropout)

    def forward(
        self,
        inner: Tensor,
        query_input: Tensor,
        value_input: Tensor,
        mask: Tensor | None,
        map_wanted: bool,
        projections_wanted: bool,
    ) -> tuple[Tensor, Details]:
        if not self.heads:
            return self.norm(inner), Details()
        projections = Projections(
            self._split(self.query(query_input)),
            self._split(self.key(query_input)),
            self._split(self.value(value_input)),
        )
        details = Details(projections=projections if projections_wanted else None)
        dropout = self.attention_dropout if self.training else 0.0
        if map_wanted:
            details.attention = _attention_map(projections, mask)
            attended_BHLK = functional.dropout(details.attention, dropout) @ projections.value
        else:
            attended_BHLK = functional.scaled_dot_product_attention(*projections, attn_mask=mask, dropout_p=dropout)
        attended = self.output(attended_BHLK.transpose(1, 2).flatten(start_dim=2))
        return self.norm(self.dropout(attended) + inner), details

    def _split(self, projected: Tensor) -> Tensor:
        """(B, L, H * K) to (B, H, L, K)."""
        split: Tensor = projected.unflatten(-1, (self.heads, self.head_size))
        return split.transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear maps with an activation between them, added to the input and normalised."""

    def __init__(self, config: StillhouseConfig, ffn_size: int) -> None:
        super().__init__()
        block = config.bottleneck_size or config.hidden_size
        self.has_neurons = ffn_size > 0
        if self.has_neurons:
            self.up = nn.Linear(block, ffn_size)
            self.activation = ACTIVATIONS[config.activation]()
            self.down = nn.Linear(ffn_size, block)
        self.norm = _norm(config, block)
        self.dropout = _dropout(config.dropout)

    def forward(self, inner: Tensor) -> Tensor:
        if not self.has_neurons:
            unchanged: Tensor = self.norm(inner)
            return unchanged
        result: Tensor = self.norm(self.dropout(self.down(self.activation(self.up(inner)))) + inner)
        return result


class NoNorm(nn.Module):
    """A weight and a bias for each unit, and no normalisation.

    References: arXiv:2004.02984, section 3.5.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden * self.weight + self.bias


def _attention_map(projections: Projections, mask: Tensor | None) -> Tensor:
    # Scaled before the product: float16 ends at 65,504.
    scores = projections.query / math.sqrt(projections.query.shape[-1]) @ projections.key.transpose(2, 3)
    if mask is not None:
        # A text without any token attends to nothing, as in the fused kernels.
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1).masked_fill(~mask, 0.0)
    return scores.softmax(dim=-1)


def _per_layer(sizes: int | list[int], layers: int) -> list[int]:
    return list(sizes) if isinstance(sizes, Sequence) else [sizes] * layers


def _word_size(config: StillhouseConfig) -> int:
    return config.embedding_size or config.hidden_size


def _norm(config: StillhouseConfig, size: int, eps: float | None = None) -> nn.Module:
    if config.norm == "no_norm":
        return NoNorm(size)
    return nn.LayerNorm(size, eps=config.layer_norm_eps if eps is None else eps)


def _dropout(probability: float) -> nn.Module:
    # Dropout of probability 0 still costs a kernel and a mask while training.
    return nn.Dropout(probability) if probability else nn.Identity()


def _token_loss(logits_BLC: Tensor, labels_BL: Tensor | None) -> Tensor | None:
    """Cross-entropy over the tokens that have a label; those of -100 have none."""
    return None if labels_BL is None else functional.cross_entropy(logits_BLC.flatten(0, 1), labels_BL.flatten())


def _as_dict(config: StillhouseConfig, return_dict: bool | None) -> bool:
    return bool(config.return_dict if return_dict is None else return_dict)


AUTO_MAP = {
    "AutoConfig": "modeling_stillhouse.StillhouseConfig",
    "AutoModel": "modeling_stillhouse.StillhouseEncoder",
    "AutoModelForSequenceClassification": "modeling_stillhouse.StillhouseForSequenceClassification",
    "AutoModelForTokenClassification": "modeling_stillhouse.StillhouseForTokenClassification",
    "AutoModelForQuestionAnswering": "modeling_stillhouse.StillhouseForQuestionAnswering",
    "AutoModelForMaskedLM": "modeling_stillhouse.StillhouseForMaskedLM",
}
"""What transformers' Auto classes find in this file beside an export's weights."""

# `save_pretrained` then puts this file beside the weights.
StillhouseConfig.register_for_auto_class()
StillhouseEncoder.register_for_auto_class("AutoModel")
StillhouseForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
StillhouseForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")
StillhouseForQuestionAnswering.register_for_auto_class("AutoModelForQuestionAnswering")
StillhouseForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")
