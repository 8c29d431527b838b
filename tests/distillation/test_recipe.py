import json
import math
from dataclasses import asdict

import pytest

from distillation.presets import PRESETS, recipe
from distillation.recipe import (
    LOSSES,
    Knowledge,
    LossName,
    Matching,
    Part,
    Ramp,
    Recipe,
    Stage,
    Term,
    flash_floor,
    flash_steps,
    value_at,
)
from distillation.schedule import Schedule
from encoders.values import HeadKind


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize(
    "name", ["learning_rate", "embedding_learning_rate", "gradient_clip", "weight_decay", "warmup"]
)
def test_a_recipe_takes_finite_numbers_and_names_the_one_that_is_not(name, value):
    with pytest.raises(ValueError, match=f"{name} .* got {value}"):
        Recipe(**{name: value})


def test_every_knowledge_has_losses_of_which_the_first_is_the_default():
    assert set(LOSSES) == set(Knowledge)
    for knowledge, losses in LOSSES.items():
        assert Term(knowledge=knowledge).loss is losses[0]


def test_options_have_defaults_where_they_mean_something_and_are_refused_elsewhere():
    assert Term(knowledge=Knowledge.LOGITS).temperature == 1.0
    assert Term(knowledge=Knowledge.LOGITS).matching is None
    assert Term(knowledge=Knowledge.HIDDEN_STATES).matching is Matching.UNIFORM
    for knowledge, options in (
        ("embeddings", {"matching": "last"}),
        ("logits", {"every": 2}),
        ("attention", {"temperature": 2.0}),
        ("attention", {"embeddings": True}),
        ("hidden_states", {"relation_heads": 2}),
        ("logits", {"smoothing": 0.1}),
    ):
        (name,) = options
        with pytest.raises(ValueError, match=f"{name} says nothing of {knowledge}"):
            Term(knowledge=knowledge, **options)
    with pytest.raises(ValueError, match="temperature says nothing of logits by mse"):
        Term(knowledge="logits", loss="mse", temperature=2.0)


def test_a_loss_must_be_one_of_its_knowledge():
    with pytest.raises(ValueError, match="loss of hidden_states must be one of mse, cosine, pkd, feature_map, got kl"):
        Term(knowledge="hidden_states", loss="kl")


@pytest.mark.parametrize("weight", [math.nan, -1.0, Ramp(start=0.0, end=-1.0)])
def test_weights_are_numbers_of_at_least_0(weight):
    with pytest.raises(ValueError, match="logits: weight must be a number of at least 0"):
        Term(knowledge="logits", weight=weight)


def test_explicit_pairs_are_counted_from_0_and_not_repeated():
    assert Term(knowledge="hidden_states", matching=[[3, 0], [7, 1]]).matching == ((3, 0), (7, 1))
    for pairs in ([], [[0, 0], [0, 0]], [[-1, 0]]):
        with pytest.raises(ValueError, match="matching: pairs"):
            Term(knowledge="hidden_states", matching=pairs)


def test_a_stage_must_leave_something_to_learn():
    with pytest.raises(ValueError, match="at least one weight must be above 0"):
        Stage(terms=(Term(knowledge="logits", weight=0.0),))
    with pytest.raises(ValueError, match="at least one weight must be above 0"):
        Stage(terms=())
    Stage(terms=(Term(knowledge="logits", weight=Ramp(start=0.0, end=1.0)),))


@pytest.mark.parametrize("term", [Term(knowledge="logits"), Term(knowledge="value_relations", matching="last1")])
def test_block_after_block_learns_from_layers_alone(term):
    with pytest.raises(ValueError, match="block after block"):
        Stage(terms=(term,), train=Part.BLOCKS)


def test_what_cannot_be_learnt_is_refused():
    with pytest.raises(ValueError, match="learns from logits or hard_labels, and has neither"):
        Stage(terms=(Term(knowledge="hidden_states"), Term(knowledge="logits", weight=0.0)), train=Part.HEAD)
    for options in ({"every": 2}, {"embeddings": True}):
        with pytest.raises(ValueError, match="emd moves all layers to all"):
            Term(knowledge="hidden_states", matching="emd", **options)


def test_ramps_are_linear():
    assert [value_at(Ramp(start=4.0, end=2.0), share) for share in (0.0, 0.25, 1.0)] == [4.0, 3.5, 2.0]
    assert value_at(3.0, 0.7) == 3.0


def test_flash_steps_are_a_share_with_a_floor_and_never_more_than_full():
    assert flash_steps(Recipe(steps=10_000), 0.05) == 500
    assert flash_steps(Recipe(steps=1000), 0.05) == 200
    assert flash_steps(Recipe(steps=1000), 0.05, floor=20) == 50
    assert flash_steps(Recipe(steps=150), 0.05) == 150


def test_fewest_flash_steps_are_those_that_were_measured_for_the_kind_of_task():
    assert flash_floor(HeadKind.CLASSIFICATION) == 50
    assert {flash_floor(kind) for kind in HeadKind if kind is not HeadKind.CLASSIFICATION} == {200}


def test_only_matchings_of_every_layer_bound_the_students_depth():
    def needs(**term):
        return Recipe(stages=(Stage(terms=(Term(**term), Term(knowledge="logits"))),)).needs_teachers_depth

    assert needs(knowledge="hidden_states")
    assert not needs(knowledge="hidden_states", weight=0.0)
    assert not needs(knowledge="hidden_states", matching="last1")
    assert not needs(knowledge="hidden_states", matching="emd")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_recipe_that_survives_json(name):
    made = recipe(name, steps=7)
    assert made.steps == 7
    values = json.loads(json.dumps(asdict(made)))
    stages = tuple(
        Stage(**stage | {"terms": tuple(Term(**term) for term in stage["terms"])}) for stage in values.pop("stages")
    )
    schedule = Schedule(**values.pop("schedule"))
    assert Recipe(**values, stages=stages, schedule=schedule) == made


@pytest.mark.parametrize("name", PRESETS)
def test_the_last_stage_of_a_preset_trains_the_head(name):
    last = recipe(name).stages[-1]
    assert last.train in (Part.ALL, Part.HEAD)
    assert any(term.knowledge is Knowledge.LOGITS for term in last.terms)


def test_a_misspelt_preset_is_told_the_nearest():
    with pytest.raises(ValueError, match="no preset is named 'minilm2'; did you mean 'minilmv2'"):
        recipe("minilm2")


def test_minidisc_is_half_hidden_states_of_every_second_layer_and_half_soft_labels():
    (stage,) = recipe("minidisc").stages
    assert [(term.knowledge, term.loss, term.weight) for term in stage.terms] == [
        (Knowledge.HIDDEN_STATES, LossName.MSE, 0.5),
        (Knowledge.LOGITS, LossName.CROSS_ENTROPY, 0.5),
    ]
    assert stage.terms[0].every == 2
    assert stage.terms[0].embeddings
