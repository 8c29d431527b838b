"""The lines that load an export, as people are shown them. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from encoders.values import HeadKind

PIPELINES = {
    HeadKind.CLASSIFICATION: "text-classification",
    HeadKind.REGRESSION: "text-classification",
    HeadKind.TOKEN_CLASSIFICATION: "token-classification",
    HeadKind.QUESTION_ANSWERING: "question-answering",
    HeadKind.MASKED_LM: "fill-mask",
}
"""What hubs call the use of a model with such a head."""

_SHOWN = {
    HeadKind.CLASSIFICATION: ("classify", "Compute the eigenvalues of a symmetric matrix."),
    HeadKind.REGRESSION: ("rate", "Compute the eigenvalues of a symmetric matrix."),
    HeadKind.TOKEN_CLASSIFICATION: ("tag", "Ada Lovelace was born in London."),
    HeadKind.MASKED_LM: ("fill", "Ada Lovelace was born in [MASK]."),
}


def loading_lines(folder: Path | str, kind: HeadKind, *, trusted: bool = True) -> tuple[str, str, str]:
    """Three lines of Python; `trusted` where code lies beside the weights."""
    trust = ", trust_remote_code=True" if trusted else ""
    if kind is HeadKind.QUESTION_ANSWERING:  # transformers has no pipeline that answers questions any more
        return (
            "from transformers import AutoModelForQuestionAnswering, AutoTokenizer",
            f'model = AutoModelForQuestionAnswering.from_pretrained("{folder}"{trust})',
            # It reads the configuration too, whose class lies beside the weights: without trust it would ask.
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}"{trust})',
        )
    name, text = _SHOWN[kind]
    return (
        "from transformers import pipeline",
        f'{name} = pipeline("{PIPELINES[kind]}", "{folder}"{trust})',
        f'{name}("{text}")',
    )
