"""What a study searches and compares with, once its teacher is known."""

from dataclasses import replace

import pytest

from encoders.values import Head, Pooling
from protocol.study import StudySpec
from search_space import KNOWN, AttentionInput, EmptySpaceError, Norm, Pooler, parameter_count
from service.operations.spaces import baselines, effective_space, is_largest, is_smallest, references


@pytest.fixture
def prepared(answers):
    """The outcome of a preparation; its teacher with some fields changed, and the head's pooling."""

    def made(pooling=Pooling.MEAN, **changes):
        found = answers.prepared()
        architecture = replace(found.architecture, **changes)
        return found.model_copy(update={"architecture": architecture, "head": Head(classes=2, pooling=pooling)})

    return made


@pytest.fixture
def study(spec):
    return lambda **changes: StudySpec.model_validate({**spec, **changes})


@pytest.mark.parametrize(("pooling", "pooler"), [(Pooling.CLS, Pooler.TANH), (Pooling.MEAN, Pooler.NONE)])
def test_students_have_the_teachers_pooler_where_the_head_reads_it(study, prepared, pooling, pooler):
    facts = prepared(pooling, pooler=Pooler.TANH)
    assert effective_space(study(), facts).architecture(0).pooler is pooler
    (half,) = baselines(study(), facts)[0].values()
    assert half.pooler is pooler


def test_a_space_that_names_a_pooler_keeps_it(study, prepared, spec):
    named = study(search_space=spec["search_space"] | {"pooler": "none"})
    facts = prepared(Pooling.CLS, pooler=Pooler.TANH)
    assert effective_space(named, facts).architecture(0).pooler is Pooler.NONE


@pytest.mark.parametrize("initialisation", ["lower", "random"])
def test_constraints_on_all_parameters_are_met_with_the_teachers_vocabulary(study, prepared, spec, initialisation):
    """By itself, with a vocabulary of one word, no architecture has so many."""
    constraints = ["parameters >= 200e3", "parameters <= 400e3"]
    named = study(
        search_space=spec["search_space"] | {"constraints": constraints},
        distillation={"initialisation": initialisation},
    )
    space = effective_space(named, prepared(vocabulary_size=5000))
    counts = [parameter_count(space.architecture(row)) for row in range(space.size)]
    assert counts
    assert 200e3 <= min(counts) <= max(counts) <= 400e3
    with pytest.raises(EmptySpaceError, match="parameters >= 200,000"):
        effective_space(named, prepared(vocabulary_size=10))


def test_a_sliced_teachers_usual_baseline_is_its_lower_half(study, prepared):
    facts = prepared(heads=(1, 2, 3, 4), ffn_size=(8, 8, 0, 16))
    kept, notes = baselines(study(), facts)
    assert notes == []
    assert kept == {"half-depth": replace(facts.architecture, layers=2, heads=(1, 2), ffn_size=8)}


def test_a_baseline_may_name_every_field_and_the_rest_is_the_teachers(study, prepared):
    own = {
        "layers": 2,
        "hidden_size": 48,
        "heads": [1, 2],
        "head_size": 8,
        "ffn_size": [16, 0],
        "ffn_stacks": 2,
        "bottleneck_size": 24,
        "attention_input": "shared",
        "embedding_size": 16,
        "trigram": True,
        "norm": "no_norm",
        "activation": "relu",
        "pooler": "relu",
    }
    facts = prepared()
    kept, notes = baselines(study(baselines={"all": own, "narrow": {"hidden_size": 32}}), facts)
    assert notes == []
    assert kept["narrow"] == replace(facts.architecture, hidden_size=32)
    assert kept["all"].vocabulary_size == facts.architecture.vocabulary_size
    assert {name: getattr(kept["all"], name) for name in own} == own | {"heads": (1, 2), "ffn_size": (16, 0)}


def test_a_list_of_sizes_says_how_many_layers_there_are(study, prepared):
    kept, _ = baselines(study(baselines={"cut": {"heads": [4, 2, 1]}}), prepared())
    assert (kept["cut"].layers, kept["cut"].heads) == (3, (4, 2, 1))


def test_a_known_model_is_a_baseline_with_the_teachers_vocabulary(study, prepared):
    facts = prepared(Pooling.CLS, hidden_size=768, pooler=Pooler.TANH, max_positions=64, token_types=0)
    named = {"mobilebert": "mobilebert", "thin": {"model": "mobilebert", "layers": 3}, "tiny": "tinybert-4"}
    kept, notes = baselines(study(baselines=named, distillation={"initialisation": "random"}), facts)
    assert notes == []
    fixed = {"vocabulary_size": 100, "max_positions": 64, "token_types": 0}
    assert kept["mobilebert"] == replace(KNOWN["mobilebert"], **fixed)
    assert kept["thin"] == replace(KNOWN["mobilebert"], layers=3, **fixed)
    assert kept["tiny"] == replace(KNOWN["tinybert-4"], **fixed)


def test_a_known_models_pooler_is_left_out_under_a_head_that_does_not_read_it(study, prepared):
    random = {"initialisation": "random"}
    named = {"tiny": "tinybert-4", "own": {"model": "tinybert-4", "layers": 2, "pooler": "tanh"}}
    kept, _ = baselines(study(baselines=named, distillation=random), prepared())
    assert (kept["tiny"].pooler, kept["own"].pooler) == (Pooler.NONE, Pooler.TANH)


def test_blocks_of_another_kind_than_the_teachers_may_be_larger(study, prepared):
    """They start at random: only the hidden size is sliced."""
    kept, notes = baselines(
        study(baselines={"deep": {"layers": 9, "bottleneck_size": 80}, "wide": {"hidden_size": 80}}), prepared()
    )
    assert list(kept) == ["deep"]
    assert notes == [
        "baseline wide is left out: its hidden_size 80 is beyond the teacher's 64, and students are initialised from"
        " the teacher"
    ]


def test_a_baseline_is_held_against_each_layer_of_a_sliced_teacher(study, prepared):
    facts = prepared(heads=(1, 4, 2, 4))
    kept, notes = baselines(study(baselines={"even": {"layers": 2, "heads": 2}, "low": {"layers": 1}}), facts)
    assert list(kept) == ["low"]
    assert "its heads 2 in layer 0 is beyond the teacher's 1" in notes[0]


def test_a_baseline_that_this_teacher_cannot_have_is_left_out_and_said(study, prepared):
    shared = {"attention_input": "shared"}
    kept, notes = baselines(study(baselines={"shared": shared, "one": {"layers": 1}}), prepared())
    assert list(kept) == ["one"]
    assert notes[0].startswith("baseline shared is left out: attention_input 'shared' needs a bottleneck_size")


def test_a_baseline_without_the_teachers_bottleneck_reads_the_blocks_input(study, prepared):
    facts = prepared(bottleneck_size=16, attention_input=AttentionInput.SHARED, norm=Norm.NO_NORM)
    kept, _ = baselines(study(baselines={"plain": {"bottleneck_size": 0}}), facts)
    assert (kept["plain"].attention_input, kept["plain"].norm) == (AttentionInput.INPUT, Norm.NO_NORM)


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, (True, True)),
        ({"constraints": ["ffn_size == 2 * hidden_size"]}, (True, True)),
        ({"constraints": ["layers * hidden_size == 64", "ffn_size == 32"]}, (False, False)),
        ({"constraints": ["parameters >= 20000"]}, (False, True)),
        ({"constraints": ["parameters <= 20000"]}, (True, False)),
        ({"norm": ["layer_norm", "no_norm"]}, (False, False)),
        ({"head_size": None, "heads": [1, 2]}, (True, True)),
        ({"embedding_size": [8, 12]}, (True, True)),
        ({"embedding_size": [8, 16]}, (False, False)),
    ],
)
def test_an_end_of_the_space_has_the_least_or_the_most_in_every_dimension(study, prepared, spec, changes, ends):
    dimensions = {name: value for name, value in (spec["search_space"] | changes).items() if value is not None}
    random = study(search_space=dimensions, distillation={"initialisation": "random", "terms": {"logits": 1}})
    facts = prepared()
    space = effective_space(random, facts)
    found = references(random.budget, space, facts.architecture)
    assert (
        is_smallest(space, found["smallest"].architecture),
        is_largest(space, found["largest"].architecture),
    ) == ends
