"""What is compared: recipes that differ from a base recipe in one factor, or in two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distillation.presets import PRESETS
from distillation.recipe import Initialisation, Knowledge, LossName, Matching, Part, Recipe, Stage, Term, Units
from search_space import Architecture, parameter_count

FASTER = {"learning_rate": 7e-4, "embedding_learning_rate": 2e-3}
"""The rates of the built-in teacher, which starts at random too."""

LOGITS = Term(knowledge=Knowledge.LOGITS, temperature=2.0)
HARD = Term(knowledge=Knowledge.HARD_LABELS)
HIDDEN = (Term(knowledge=Knowledge.HIDDEN_STATES),)
MAPS = (Term(knowledge=Knowledge.ATTENTION, loss=LossName.KL),)

TEN = (0.1, 1.0, 10.0, 100.0)
HUNDREDS = (10.0, 100.0, 1000.0, 10_000.0)
"""Of losses that are small numbers: squares of differences of probabilities."""


@dataclass(frozen=True, slots=True)
class Layered:
    """Knowledge of layers, and the weights that it is tried with."""

    terms: tuple[Term, ...]
    weights: tuple[float, ...] = TEN


def _states(loss: LossName) -> tuple[Term, ...]:
    return (Term(knowledge=Knowledge.HIDDEN_STATES, loss=loss),)


def _of(*knowledge: Knowledge, matching: Matching = Matching.UNIFORM) -> tuple[Term, ...]:
    return tuple(Term(knowledge=each, matching=matching) for each in knowledge)


LAYERED: Mapping[str, Layered] = {
    "hidden states, MSE": Layered(HIDDEN),
    "hidden states, cosine": Layered(_states(LossName.COSINE)),
    "hidden states, PKD": Layered(_states(LossName.PKD)),
    "hidden states, feature map": Layered(_states(LossName.FEATURE_MAP)),
    "embeddings, MSE": Layered((Term(knowledge=Knowledge.EMBEDDINGS),)),
    "attention, KL": Layered(MAPS),
    "attention, MSE": Layered((Term(knowledge=Knowledge.ATTENTION, loss=LossName.MSE),), HUNDREDS),
    "attention, MSE of mean maps": Layered((Term(knowledge=Knowledge.ATTENTION, loss=LossName.MEAN_MSE),), HUNDREDS),
    "value relations": Layered(_of(Knowledge.VALUE_RELATIONS)),
    "MiniLM relations (attention, values; last layer)": Layered(
        _of(Knowledge.ATTENTION_RELATIONS, Knowledge.VALUE_RELATIONS, matching=Matching.LAST1)
    ),
    "MiniLMv2 relations (queries, keys, values; last layer)": Layered(
        _of(Knowledge.QUERY_RELATIONS, Knowledge.KEY_RELATIONS, Knowledge.VALUE_RELATIONS, matching=Matching.LAST1)
    ),
    "Gram over tokens": Layered(_of(Knowledge.TOKEN_GRAM)),
    "Gram over features": Layered(_of(Knowledge.FEATURE_GRAM)),
}

OUTPUTS: Mapping[str, tuple[Term, ...]] = {
    "logits, KL at T = 2": (LOGITS,),
    "logits, KL at T = 1": (replace(LOGITS, temperature=1.0),),
    "logits, KL at T = 4": (replace(LOGITS, temperature=4.0),),
    "logits, cross-entropy at T = 2": (replace(LOGITS, loss=LossName.CROSS_ENTROPY),),
    "logits, MSE": (Term(knowledge=Knowledge.LOGITS, loss=LossName.MSE),),
    "hard labels alone": (HARD,),
    "logits + hard labels": (replace(LOGITS, weight=0.5), replace(HARD, weight=0.5)),
}
PLAIN, FINE_TUNING = "logits, KL at T = 2", "hard labels alone"
BASE = "hidden states, MSE"
"""What the base recipe adds to the logits."""
MEAN_MAPS = "attention, MSE of mean maps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A recipe under a name; on another student than the others where it says so."""

    recipe: Recipe
    architecture: Architecture | None = None
    previous: Architecture | None = None

    @property
    def is_a_choice(self) -> bool:
        """Whether it is a recipe for the same student at the same cost."""
        return self.architecture is None and self.previous is None


Variants = dict[str, Variant]


def taught(base: Recipe, *terms: Term) -> Recipe:
    return replace(base, stages=(Stage(terms=terms),))


def weighted(terms: Sequence[Term], weight: float) -> tuple[Term, ...]:
    return tuple(replace(term, weight=weight) for term in terms)


def knowledge(base: Recipe, weights: Mapping[str, float]) -> Variants:
    """Outputs alone, and each knowledge of layers beside the logits."""
    variants = {name: Variant(recipe=taught(base, *terms)) for name, terms in OUTPUTS.items()}
    for name, layered in LAYERED.items():
        recipe = taught(base, LOGITS, *weighted(layered.terms, weights[name]))
        variants[f"logits + {name} (x {weights[name]:g})"] = Variant(recipe=recipe)
    return variants


def presets(base: Recipe) -> Variants:
    return {name: Variant(recipe=replace(base, **settings)) for name, settings in PRESETS.items()}


def matchings(base: Recipe, weights: Mapping[str, float]) -> Variants:
    """Of hidden states and of attention maps, beside the logits."""
    return {
        f"{name}: {matching}": Variant(recipe=taught(base, LOGITS, *matched(terms, matching, weights[name])))
        for name, terms in (("hidden states, MSE", HIDDEN), ("attention, KL", MAPS))
        for matching in Matching
    }


def matched(terms: Sequence[Term], matching: Matching, weight: float) -> tuple[Term, ...]:
    return tuple(replace(term, matching=matching) for term in weighted(terms, weight))


def initialisations(base: Recipe, previous: Architecture) -> Variants:
    random = replace(base, initialisation=Initialisation.RANDOM)
    return {
        "random": Variant(recipe=random),
        "random, rates of a teacher's training": Variant(recipe=replace(random, **FASTER)),
        "lower": Variant(recipe=base),
        "uniform": Variant(recipe=replace(base, initialisation=Initialisation.UNIFORM)),
        "upper": Variant(recipe=replace(base, initialisation=Initialisation.UPPER)),
        "lower, units by norms": Variant(recipe=replace(base, units=Units.NORMS)),
        f"previous student ({previous.label})": Variant(
            recipe=replace(base, initialisation=Initialisation.PREVIOUS), previous=previous
        ),
    }


def shapes(base: Recipe, like: Architecture, sizes: Sequence[tuple[int, int]]) -> Variants:
    """(layers, hidden size) at the parameters of `like`: words are equally wide, feed-forwards fill up."""
    found = [of_equal_size(like, layers, hidden_size) for layers, hidden_size in sizes]
    return {
        f"{shape.label}, {parameter_count(shape):,} parameters": Variant(recipe=base, architecture=shape)
        for shape in found
    }


def of_equal_size(like: Architecture, layers: int, hidden_size: int) -> Architecture:
    """The feed-forward size that comes nearest to the other's number of parameters."""
    heads = max(1, hidden_size // like.head_size)
    wanted = parameter_count(like)
    candidates = (
        replace(like, layers=layers, hidden_size=hidden_size, heads=heads, ffn_size=size)
        for size in range(8, 8 * hidden_size, 8)
    )
    return min(candidates, key=lambda shape: abs(parameter_count(shape) - wanted))


def interactions(
    base: Recipe,
    weights: Mapping[str, float],
    *,
    first: str,
    second: str,
    matching: Matching,
    initialisation: Variant,
) -> Variants:
    """Two changes at once: the best knowledge of layers with what else was best, or is said to depend on it."""
    terms = weighted(LAYERED[first].terms, weights[first])
    best = taught(base, LOGITS, *terms)
    random = replace(best, initialisation=Initialisation.RANDOM, **FASTER)
    start = {
        name: getattr(initialisation.recipe, name)
        for name in ("initialisation", "units", "learning_rate", "embedding_learning_rate")
    }
    both = (*terms, *weighted(LAYERED[second].terms, weights[second]))
    staged = (Stage(terms=terms, train=Part.ENCODER), Stage(terms=(LOGITS,)))
    return {
        f"{first}, from random": Variant(recipe=random),
        f"{first}, from {start['initialisation']}, units {start['units']}": Variant(recipe=replace(best, **start)),
        f"{first}, matched {matching}": Variant(
            recipe=taught(base, LOGITS, *matched(LAYERED[first].terms, matching, weights[first]))
        ),
        f"{first}, with hard labels": Variant(recipe=taught(base, *OUTPUTS["logits + hard labels"], *terms)),
        f"{first}, with {second}": Variant(recipe=taught(base, LOGITS, *both)),
        f"{first} first, then logits": Variant(recipe=replace(base, stages=staged)),
    }


def candidates(base: Recipe, weights: Mapping[str, float]) -> Variants:
    """What suits a student of any width and head count, several of it at once: where best practice is looked for."""
    hidden = matched(HIDDEN, Matching.FIRST, weights[BASE])
    uniform = weighted(HIDDEN, weights[BASE])
    maps = weighted(LAYERED[MEAN_MAPS].terms, weights[MEAN_MAPS])
    norms = replace(base, units=Units.NORMS)
    return {
        "hidden states, first; norms": Variant(recipe=taught(norms, LOGITS, *hidden)),
        "mean maps; norms": Variant(recipe=taught(norms, LOGITS, *maps)),
        "hidden states, first + mean maps; norms": Variant(recipe=taught(norms, LOGITS, *hidden, *maps)),
        "hidden states, uniform + mean maps; norms": Variant(recipe=taught(norms, LOGITS, *uniform, *maps)),
    }
