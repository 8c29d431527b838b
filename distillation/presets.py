"""Recipes with a name: what well-known distillations teach, in the terms of `recipe.py`.

They give stages and initialisation; steps, sizes and rates are the recipe's own. Where the original is a
pre-training (`distilbert`, `minilm`, `minilmv2`, `mobilebert`, `tinybert`) a last stage teaches the outputs, so that
each works on any task. Weights are the originals' where they name them; what is ours is marked so.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from distillation.recipe import Initialisation, Knowledge, LossName, Matching, Part, Recipe, Stage, Term, Units


def recipe(name: str, **changes: Any) -> Recipe:
    """The preset, with other steps, sizes and rates, say.

    Raises:
        ValueError: no such preset, naming the nearest; or as `Recipe`.
    """
    if name not in PRESETS:
        near = get_close_matches(str(name), PRESETS, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no preset is named {name!r}{meant}; there are {', '.join(PRESETS)}")
    return Recipe(**PRESETS[name] | changes)


def _term(knowledge: Knowledge, weight: float = 1.0, **options: Any) -> Term:
    return Term(knowledge=knowledge, weight=weight, **options)


def _layers_then_outputs(*terms: Term) -> tuple[Stage, Stage]:
    outputs = Stage(terms=(_term(Knowledge.LOGITS, loss=LossName.CROSS_ENTROPY),))
    return Stage(terms=terms, train=Part.ENCODER), outputs


PRESETS: dict[str, dict[str, Any]] = {
    # arXiv:1910.01108, section 3 and its training script: 5 soft, 2 hard, 1 cosine, T = 2; every second layer.
    "distilbert": {
        "initialisation": Initialisation.UNIFORM,
        "stages": (
            Stage(
                terms=(
                    _term(Knowledge.LOGITS, 5.0, temperature=2.0),
                    _term(Knowledge.HARD_LABELS, 2.0),
                    _term(Knowledge.HIDDEN_STATES, loss=LossName.COSINE, matching=Matching.LAST1),
                ),
            ),
        ),
    },
    # arXiv:1908.09355, eq. 7-9, "skip": of its grids T = 5, alpha = .5, beta = 100 (the choice is ours).
    "pkd": {
        "initialisation": Initialisation.LOWER,
        "stages": (
            Stage(
                terms=(
                    _term(Knowledge.LOGITS, 0.5, temperature=5.0),
                    _term(Knowledge.HARD_LABELS, 0.5),
                    _term(Knowledge.HIDDEN_STATES, 100.0, loss=LossName.PKD),
                ),
            ),
        ),
    },
    # arXiv:1909.10351, section 3: first embeddings, hidden states and attention, then the soft labels at T = 1. There
    # attention is compared head by head before its softmax; the mean of the heads is ours, as head counts may differ.
    "tinybert": {
        "initialisation": Initialisation.LOWER,
        "stages": _layers_then_outputs(
            _term(Knowledge.EMBEDDINGS),
            _term(Knowledge.HIDDEN_STATES),
            _term(Knowledge.ATTENTION, loss=LossName.MEAN_MSE),
        ),
    },
    # arXiv:2002.10957, eq. 6-8: attention of the last layer, and how its values relate.
    "minilm": {
        "initialisation": Initialisation.UNIFORM,
        "stages": _layers_then_outputs(
            _term(Knowledge.ATTENTION_RELATIONS, matching=Matching.LAST1),
            _term(Knowledge.VALUE_RELATIONS, matching=Matching.LAST1),
        ),
    },
    # arXiv:2012.15828, eq. 3-5: relations among queries, among keys and among values.
    "minilmv2": {
        "initialisation": Initialisation.UNIFORM,
        "stages": _layers_then_outputs(
            _term(Knowledge.QUERY_RELATIONS, matching=Matching.LAST1),
            _term(Knowledge.KEY_RELATIONS, matching=Matching.LAST1),
            _term(Knowledge.VALUE_RELATIONS, matching=Matching.LAST1),
        ),
    },
    # arXiv:2004.02984, section 3.3 and 3.4 (progressive transfer), then soft and hard labels alike.
    "mobilebert": {
        "initialisation": Initialisation.LOWER,
        "stages": (
            Stage(
                terms=(
                    _term(Knowledge.HIDDEN_STATES, loss=LossName.FEATURE_MAP),
                    _term(Knowledge.ATTENTION_RELATIONS),
                ),
                train=Part.BLOCKS,
            ),
            Stage(terms=(_term(Knowledge.LOGITS, 0.5), _term(Knowledge.HARD_LABELS, 0.5))),
        ),
    },
    # arXiv:2205.14570: hidden states of every second layer and of the embeddings, and the soft labels, half and half.
    "minidisc": {
        "initialisation": Initialisation.LOWER,
        "units": Units.NORMS,
        "stages": (
            Stage(
                terms=(
                    _term(Knowledge.HIDDEN_STATES, 0.5, every=2, embeddings=True),
                    _term(Knowledge.LOGITS, 0.5, loss=LossName.CROSS_ENTROPY),
                ),
            ),
        ),
    },
    # Ours: what did best over the tasks of docs/guides/what-to-teach.md, of the recipes that fit any student; and units
    # by importance, which was not compared there: benchmarks/results/narrower_students.md.
    "best-practice": {
        "initialisation": Initialisation.LOWER,
        "units": Units.IMPORTANCE,
        "stages": (
            Stage(
                terms=(
                    _term(Knowledge.LOGITS, temperature=2.0),
                    _term(Knowledge.HIDDEN_STATES, 10.0, matching=Matching.FIRST),
                    _term(Knowledge.ATTENTION, 100.0, loss=LossName.MEAN_MSE),
                ),
            ),
        ),
    },
}
