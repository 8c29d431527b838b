"""RoBERTa, and what shares its layout: XLM-RoBERTa, CamemBERT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from transformers import PretrainedConfig

from encoders.bert import CLASSIFIER, ENCODER, QA_OUTPUTS, bert_settings, describe_bert
from encoders.layouts import Description, Layout, parse, refuse
from encoders.values import HeadKind
from search_space import Pooler

OUTPUTS = {"classifier": "classifier.out_proj"}

LAYOUT = Layout(
    prefix="roberta.",
    encoder={ours: theirs.replace("bert.", "roberta.", 1) for ours, theirs in ENCODER.items()},
    poolers={"classifier.dense": Pooler.TANH, "roberta.pooler.dense": Pooler.TANH},
    heads={
        HeadKind.CLASSIFICATION: OUTPUTS,
        HeadKind.REGRESSION: OUTPUTS,
        HeadKind.TOKEN_CLASSIFICATION: CLASSIFIER,
        HeadKind.QUESTION_ANSWERING: QA_OUTPUTS,
        HeadKind.MASKED_LM: {"transform": "lm_head.dense", "norm": "lm_head.layer_norm", "bias": "lm_head.bias"},
    },
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    unread=(r"embeddings\.position_ids", r"embeddings\.token_type_ids", r"lm_head\.", r"classifier\.", r"qa_outputs\."),
)


@dataclass(frozen=True, slots=True)
class Roberta:
    """Types `roberta`, `xlm-roberta` and `camembert`.

    Its positions are counted from the padding token's number + 1, so the rows before are not ours. Theirs counts real
    tokens only: padding is expected on the right, as its tokenizers put it.
    """

    config_class: type[PretrainedConfig]

    @property
    def layout(self) -> Layout:
        return LAYOUT

    def describe(self, values: Mapping[str, Any], source: str) -> Description:
        config = parse(self.config_class, values, source)
        first = -1 if config.pad_token_id is None else config.pad_token_id + 1
        no_room = not 0 < first < config.max_position_embeddings
        refuse(config, values, {**bert_settings(config), "pad_token_id": no_room}, source)
        described = describe_bert(config)
        shape = replace(described.architecture, max_positions=config.max_position_embeddings - first)
        # Its masked-LM head is of GELU whatever the encoder's activation is.
        is_other = described.head is not None and described.head.kind is HeadKind.MASKED_LM
        is_other = is_other and config.hidden_act != "gelu"
        head = None if is_other else described.head
        return replace(described, architecture=shape, head=head, first_position=first)
