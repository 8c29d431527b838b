"""The encoder family in PyTorch: configuration, encoder, classifier.

This file travels inside exported models, so it imports nothing but torch and transformers.

Shapes: B batch, L length, D hidden, H heads, K head size, F feed-forward, C classes, N layers.
"""

# mypy: allow-untyped-calls
# (transformers' constructors and registrations carry no types)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}
POOLINGS = ("cls", "mean")


class StillhouseConfig(PretrainedConfig):
    """The shape of an encoder, and how its hidden states become logits.

    The heads together are `heads * head_size` wide, whatever `hidden_size` is.

    Raises:
        ValueError: an activation or a pooling that is not known.
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
        heads: int = 12,
        head_size: int = 64,
        ffn_size: int = 3072,
        max_positions: int = 512,
        token_types: int = 2,
        activation: str = "gelu",
        pooling: str = "mean",
        dropout: float = 0.0,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; known are {', '.join(ACTIVATIONS)}")
        if pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {pooling!r}; known are {', '.join(POOLINGS)}")
        self.vocabulary_size = vocabulary_size
        self.layers = layers
        self.hidden_size = hidden_size
        self.heads = heads
        self.head_size = head_size
        self.ffn_size = ffn_size
        self.max_positions = max_positions
        self.token_types = token_types
        self.activation = activation
        self.pooling = pooling
        self.dropout = dropout
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__init__(**kwargs)


class StillhouseModel(PreTrainedModel):
    """What the models of this family share with transformers."""

    config: StillhouseConfig
    config_class = StillhouseConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True


class StillhouseEncoder(StillhouseModel):
    """Token ids in, hidden states out: embeddings and post-norm blocks."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
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
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """`input_ids`, `token_type_ids` and `attention_mask` are (B, L); the mask is 0 where a token is padding.

        Returns the last hidden state (B, L, D) and, only when asked, `hidden_states`: N + 1 tensors, the embeddings
        first. Hidden states at padding are meaningless.

        Raises:
            ValueError: L is more than the positions of the model.
        """
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        # (B, 1, 1, L): every query of every head sees the real tokens of its own text.
        mask = None if attention_mask is None else attention_mask[:, None, None, :].to(torch.bool)
        hidden_BLD = self.embeddings(input_ids, token_type_ids)
        seen = [hidden_BLD]
        for layer in self.layers:
            hidden_BLD = layer(hidden_BLD, mask)
            if wanted:
                seen.append(hidden_BLD)
        output = BaseModelOutput(last_hidden_state=hidden_BLD, hidden_states=tuple(seen) if wanted else None)
        return output if _as_dict(self.config, return_dict) else output.to_tuple()


class StillhouseForSequenceClassification(StillhouseModel):
    """An encoder, pooling and a linear classifier."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels or 2
        self.encoder = StillhouseEncoder(config)
        self.dropout = _dropout(config)
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """As the encoder's; `labels` are class indices (B,) or class probabilities (B, C). The logits are (B, C)."""
        encoded = self.encoder(
            input_ids, attention_mask, token_type_ids, output_hidden_states=output_hidden_states, return_dict=True
        )
        pooled_BD = self.pool(encoded.last_hidden_state, attention_mask)
        logits_BC = self.classifier(self.dropout(pooled_BD))
        loss = None if labels is None else functional.cross_entropy(logits_BC, labels)
        output = SequenceClassifierOutput(loss=loss, logits=logits_BC, hidden_states=encoded.hidden_states)
        return output if _as_dict(self.config, return_dict) else output.to_tuple()

    def pool(self, hidden_BLD: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The (B, D) vector of each text: its first token, or the mean of its real tokens."""
        if self.config.pooling == "cls":
            return hidden_BLD[:, 0]
        if attention_mask is None:
            return hidden_BLD.mean(dim=1)
        real_BL1 = attention_mask[:, :, None].to(hidden_BLD.dtype)
        # A text without any token pools to zeros, not to NaN.
        return (hidden_BLD * real_BL1).sum(dim=1) / real_BL1.sum(dim=1).clamp(min=1)


class Embeddings(nn.Module):
    """The normalised sum of word, position and, where there are any, token type embeddings."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.position = nn.Embedding(config.max_positions, config.hidden_size)
        self.token_type = nn.Embedding(config.token_types, config.hidden_size) if config.token_types else None
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = _dropout(config)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        length = input_ids.shape[1]
        if length > self.position.num_embeddings:
            raise ValueError(
                f"a text of {length} tokens is longer than the {self.position.num_embeddings} positions of this model;"
                " truncate it"
            )
        embedded_BLD = self.word(input_ids) + self.position.weight[:length]
        if self.token_type is not None:
            # Without types every token is of type 0. Types given to a model without them (tokenizers add them
            # unasked) say nothing to it.
            of_type = self.token_type.weight[0] if token_type_ids is None else self.token_type(token_type_ids)
            embedded_BLD = embedded_BLD + of_type
        result: Tensor = self.dropout(self.norm(embedded_BLD))
        return result


class Block(nn.Module):
    """Attention and feed-forward, each added to its input and then normalised."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = _dropout(config)

    def forward(self, hidden_BLD: Tensor, mask: Tensor | None) -> Tensor:
        hidden_BLD = self.attention_norm(self.dropout(self.attention(hidden_BLD, mask)) + hidden_BLD)
        result: Tensor = self.feed_forward_norm(self.dropout(self.feed_forward(hidden_BLD)) + hidden_BLD)
        return result


class Attention(nn.Module):
    """softmax(Q K' / sqrt(head_size)) V of every head, mapped back to the hidden size."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_size = config.head_size
        self.dropout = config.dropout
        width = config.heads * config.head_size
        self.query = nn.Linear(config.hidden_size, width)
        self.key = nn.Linear(config.hidden_size, width)
        self.value = nn.Linear(config.hidden_size, width)
        self.output = nn.Linear(width, config.hidden_size)

    def forward(self, hidden_BLD: Tensor, mask: Tensor | None) -> Tensor:
        attended_BHLK = functional.scaled_dot_product_attention(
            self._split(self.query(hidden_BLD)),
            self._split(self.key(hidden_BLD)),
            self._split(self.value(hidden_BLD)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        result: Tensor = self.output(attended_BHLK.transpose(1, 2).flatten(start_dim=2))
        return result

    def _split(self, projected: Tensor) -> Tensor:
        """(B, L, H * K) to (B, H, L, K)."""
        split: Tensor = projected.unflatten(-1, (self.heads, self.head_size))
        return split.transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear maps with an activation between them."""

    def __init__(self, config: StillhouseConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.ffn_size)
        self.activation = ACTIVATIONS[config.activation]()
        self.down = nn.Linear(config.ffn_size, config.hidden_size)

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        result: Tensor = self.down(self.activation(self.up(hidden_BLD)))
        return result


def _dropout(config: StillhouseConfig) -> nn.Module:
    # Dropout of probability 0 still costs a kernel and a mask while training.
    return nn.Dropout(config.dropout) if config.dropout else nn.Identity()


def _as_dict(config: StillhouseConfig, return_dict: bool | None) -> bool:
    return bool(config.return_dict if return_dict is None else return_dict)


AUTO_MAP = {
    "AutoConfig": "modeling_stillhouse.StillhouseConfig",
    "AutoModel": "modeling_stillhouse.StillhouseEncoder",
    "AutoModelForSequenceClassification": "modeling_stillhouse.StillhouseForSequenceClassification",
}
"""What transformers' Auto classes find in this file beside an export's weights."""

# `save_pretrained` then puts this file beside the weights.
StillhouseConfig.register_for_auto_class()
StillhouseEncoder.register_for_auto_class("AutoModel")
StillhouseForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
