"""Whole schedules on a tiny task, stopped and resumed in every stage."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from distillation.assistants.candidates import grid_of, has_room, importance_by_labels, whole_of
from distillation.assistants.chain import distil_by_schedule
from distillation.assistants.grid import is_slice, share_of
from distillation.assistants.tradeoff import Assistance
from distillation.cache import Cache
from distillation.described import described
from distillation.distil import distil
from distillation.errors import CheckpointError, Interrupted, TeacherError
from distillation.presets import recipe as preset
from distillation.recipe import Initialisation, Knowledge, Stage, Term
from distillation.schedule import Schedule
from distillation.values import Metric
from encoders.build import architecture_of, build, head_of, labels_of
from encoders.errors import InitialisationError
from encoders.export import export
from encoders.values import Head, HeadKind

SPARSITIES = (0.0, 0.3, 0.6, 0.8)
MINIDISC = Schedule(kind="minidisc", sparsities=SPARSITIES)
MAXIDISC = Schedule(kind="maxidisc", sparsities=(0.3, 0.6))


@pytest.fixture
def minidisc(recipe):
    return preset(
        "minidisc",
        steps=8,
        batch_size=16,
        max_length=12,
        learning_rate=recipe.learning_rate,
        embedding_learning_rate=recipe.embedding_learning_rate,
        schedule=MINIDISC,
    )


@pytest.fixture
def target(data, teacher, minidisc):
    """The teacher at 80 % sparsity."""
    found = importance_by_labels(data, teacher, minidisc, "cpu")
    return grid_of(whole_of(teacher), found, minidisc)[-1][1]


@pytest.fixture
def run(data, teacher, target, minidisc, tmp_path):
    def start(**changes):
        given = {
            "data": data,
            "teacher": teacher,
            "architecture": target,
            "recipe": minidisc,
            "steps": 8,
            "seed": 3,
            "folder": tmp_path / "scratch",
        } | changes
        positional = [given.pop(name) for name in ("data", "teacher", "architecture", "recipe")]
        return distil_by_schedule(*positional, **given)

    return start


def weights(distilled):
    return distilled.model.state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def in_pieces(run, recorder, tmp_path, pieces, **changes):
    """The same, stopped after so many steps of each attempt."""
    checkpoint = None
    for attempt, after in enumerate(pieces):
        stopping = recorder(stop_after=after)
        with pytest.raises(Interrupted):
            run(observer=stopping, resume=checkpoint, folder=tmp_path / f"attempt{attempt}", **changes)
        checkpoint = stopping.checkpoints[-1]
        torch.manual_seed(attempt)  # whatever else the process does meanwhile
    return run(resume=checkpoint, folder=tmp_path / "last", **changes)


def test_an_assistant_is_found_in_one_trial_and_teaches_the_student(run, minidisc, teacher, target, recorder):
    watching = recorder()
    made = run(observer=watching, recipe=replace(minidisc, schedule=replace(MINIDISC, lambda_=0.0)))
    assert architecture_of(made.model.config) == target
    (found,) = made.assistance.rounds
    assert [point.sparsity for point in found.points] == [0.3, 0.6, 0.8]
    for point in found.points:
        assert point.share == share_of(point.architecture, whole_of(teacher))
        assert point.tradeoff == point.selection.value
    assert watching.stages[:2] == ["importance of the teacher's units", "looking for an assistant among 3 slices"]
    assert made.curve[-1].value == made.selection.value


@pytest.mark.parametrize("lambda_", [0.0, 0.2, 100.0])
def test_the_assistant_has_the_best_tradeoff(run, minidisc, target, lambda_):
    made = run(recipe=replace(minidisc, schedule=replace(MINIDISC, lambda_=lambda_)))
    (found,) = made.assistance.rounds
    for point in found.points:
        assert point.tradeoff == pytest.approx(point.selection.value + lambda_ * (1 - point.share))
    greatest = max(point.tradeoff for point in found.points)
    place = next(place for place, point in enumerate(found.points) if point.tradeoff == greatest)
    chosen = found.points[place].architecture
    assert found.chosen == (None if chosen == target else place)
    if lambda_ == 100.0:
        # The smallest wins, which is the target itself: no assistant, and no second stage.
        assert found.chosen is None
        assert made.selection == found.points[-1].selection
        assert made.assistance.together == ()
    elif found.chosen is not None:
        assert made.assistance.together == tuple(point.architecture for point in found.points[place + 1 :])
    assert described(Assistance, json.loads(json.dumps(asdict(made.assistance)))) == made.assistance


# Two stages of 8 steps; maxidisc has four.
ONE, TWO = replace(MINIDISC, lambda_=0.0), replace(MINIDISC, lambda_=0.0, between=0, iterations=2)


@pytest.mark.parametrize(
    ("schedule", "pieces", "keep"),
    [
        pytest.param(ONE, (3, 5, 2, 1), "last", marks=pytest.mark.slow),
        (ONE, (3, 5, 2, 1), "best"),
        (TWO, (1, 6, 8), "last"),
        pytest.param(TWO, (1, 6, 8), "best", marks=pytest.mark.slow),
        (MAXIDISC, (3, 7, 8, 4, 5), "last"),
        pytest.param(MAXIDISC, (3, 7, 8, 4, 5), "best", marks=pytest.mark.slow),
    ],
)
def test_a_schedule_stopped_in_any_stage_ends_with_the_same_bits(
    run, minidisc, recorder, tmp_path, schedule, pieces, keep
):
    changed = replace(minidisc, schedule=schedule, keep=keep)
    whole = run(recipe=changed)
    resumed = in_pieces(run, recorder, tmp_path, pieces, recipe=changed)
    assert equal(weights(resumed), weights(whole))
    assert (resumed.curve, resumed.selection) == (whole.curve, whole.selection)
    assert resumed.initial_weights == whole.initial_weights
    assert resumed.assistance == whole.assistance


def test_stages_that_ended_are_not_done_again(run, minidisc, recorder, tmp_path):
    changed = replace(minidisc, schedule=MAXIDISC)
    stopping = recorder(stop_after=19)
    with pytest.raises(Interrupted):
        run(recipe=changed, observer=stopping)
    watching = recorder()
    run(recipe=changed, resume=stopping.checkpoints[-1], observer=watching, folder=tmp_path / "last")
    # Two stages of 8 steps had ended, and 3 steps of the third.
    assert len(watching.steps) == 4 * 8 - 19
    assert watching.steps[0][:2] == (4, 8)


def test_every_assistant_teaches_a_student_and_the_best_is_kept(run, minidisc, target, teacher):
    made = run(recipe=replace(minidisc, schedule=MAXIDISC))
    found = made.assistance.rounds
    assert [[point.sparsity for point in each.points] for each in found] == [[0.3], [0.6]]
    assert made.selection.value == max(each.points[0].student.value for each in found)
    assert architecture_of(made.model.config) == target


def test_a_student_that_is_no_slice_starts_from_the_shared_weights(run, minidisc, shape, teacher):
    narrow = shape(layers=3, hidden_size=16, heads=2, ffn_size=24)
    assert not is_slice(narrow, whole_of(teacher))
    for schedule in (replace(MINIDISC, sparsities=(0.2, 0.4)), replace(MAXIDISC, sparsities=(0.2, 0.4))):
        made = run(architecture=narrow, recipe=replace(minidisc, schedule=schedule))
        assert architecture_of(made.model.config) == narrow
        for each in made.assistance.rounds:
            assert each.chosen is not None
            assert all(point.architecture != narrow for point in each.points)
    random = replace(minidisc, initialisation=Initialisation.RANDOM)
    other = run(architecture=narrow, recipe=random)
    built = build(narrow, head_of(teacher.config), labels_of(teacher.config), seed=3)
    assert other.initial_weights != run(architecture=narrow).initial_weights
    assert not equal(weights(other), built.state_dict())


def test_candidates_of_such_a_student_go_down_to_the_one_nearest_above_it(run, minidisc, shape, teacher):
    wide = shape(layers=3, hidden_size=24, heads=3, ffn_size=28)
    made = run(architecture=wide, recipe=replace(minidisc, schedule=replace(MINIDISC, sparsities=(0.1, 0.2, 0.9))))
    (found,) = made.assistance.rounds
    assert [point.sparsity for point in found.points] == [0.1, 0.2]


def test_layers_without_heads_or_neurons_are_distilled_and_exported(run, minidisc, target, teacher, folder, tmp_path):
    bare = replace(architecture_of(teacher.config), heads=(3, 0, 0, 0), ffn_size=(0, 32, 0, 0))
    made = run(architecture=bare, recipe=replace(minidisc, schedule=replace(MINIDISC, sparsities=(0.3, 0.9, 0.95))))
    assert architecture_of(made.model.config) == bare
    (found,) = made.assistance.rounds
    assert any(0 in point.architecture.heads_by_layer for point in found.points)
    export(made.model, folder / "tokenizer", tmp_path / "export")


def test_where_heads_are_taught_every_layer_keeps_one(run, minidisc, target, teacher):
    terms = (Term(knowledge=Knowledge.VALUE_RELATIONS), Term(knowledge=Knowledge.LOGITS))
    schedule = replace(MINIDISC, sparsities=(0.3, 0.9))
    relations = replace(minidisc, stages=(Stage(terms=terms),), schedule=schedule)
    small = replace(whole_of(teacher), heads=1, ffn_size=0)
    made = run(architecture=small, recipe=relations)
    for point in made.assistance.rounds[0].points:
        assert min(point.architecture.heads_by_layer) >= 1


def test_a_language_model_loses_hidden_units_too(data, shape, minidisc, tmp_path):
    task = replace(data.task, kind=HeadKind.MASKED_LM, metric=Metric.ACCURACY)
    language = replace(data, task=task, classes=())
    whole = shape(layers=2, hidden_size=24, heads=3, vocabulary_size=len(data.tokenizer))
    teacher = build(whole, Head(kind=HeadKind.MASKED_LM), seed=1)
    terms = tuple(Term(knowledge=each, matching="last1") for each in ("query_relations", "value_relations"))
    recipe = replace(
        minidisc, stages=(Stage(terms=terms), Stage(terms=(Term(knowledge=Knowledge.LOGITS),))), schedule=MINIDISC
    )
    found = importance_by_labels(language, teacher, recipe, "cpu")
    target = grid_of(whole, found, recipe)[-1][1]
    assert target.hidden_size < whole.hidden_size
    made = distil_by_schedule(language, teacher, target, recipe, steps=4, seed=0, folder=tmp_path / "scratch")
    assert architecture_of(made.model.config) == target
    perplexity = replace(language, task=replace(task, metric=Metric.PERPLEXITY))
    with pytest.raises(TeacherError, match="perplexity is none; use accuracy"):
        distil_by_schedule(perplexity, teacher, target, recipe, steps=4, seed=0, folder=tmp_path / "other")


def test_a_stage_ends_early_where_nothing_gets_better(run, minidisc, recorder):
    still = replace(minidisc, learning_rate=1e-12, embedding_learning_rate=1e-12)
    schedule = replace(MINIDISC, lambda_=0.0, patience=2, evaluations=8)
    watching = recorder()
    run(recipe=replace(still, schedule=schedule), observer=watching)
    # The first evaluation is the best; two more are no better.
    assert [step for step, _, _ in watching.steps][:3] == [1, 2, 3]
    assert len(watching.steps) == 6
    assert [step for step, _ in watching.curve] == [1, 2, 3, 1, 2, 3]


def test_what_the_teacher_says_is_read_from_a_cache(run, tmp_path):
    cache = Cache(folder=tmp_path / "cache", budget_bytes=2**24)
    made = run(cache=cache)
    assert made.is_cached
    assert len({path.parent for path in cache.folder.rglob("*.npy")}) == 1


def test_the_importance_of_units_is_computed_once_for_all_students_of_a_teacher(
    run, minidisc, shape, recorder, tmp_path
):
    cache, watching = Cache(folder=tmp_path / "cache", budget_bytes=2**24), recorder()
    other = shape(layers=3, hidden_size=12, heads=1)  # no slice: its hidden units are chosen, too
    recipe = replace(minidisc, units="importance")
    stage = "importance of the teacher's units"
    for architecture, times in ((None, 1), (other, 2), (other, 2)):
        change = {} if architecture is None else {"architecture": architecture}
        made = run(recipe=recipe, cache=cache, observer=watching, folder=tmp_path / "kept", **change)
        assert watching.stages.count(stage) == times
    alone = run(recipe=recipe, folder=tmp_path / "alone", architecture=other)
    assert [point.architecture for point in made.assistance.rounds[0].points] == [
        point.architecture for point in alone.assistance.rounds[0].points
    ]


def test_without_a_schedule_the_teacher_alone_teaches(run, minidisc, data, teacher, target, tmp_path):
    direct = replace(minidisc, schedule=Schedule())
    made = run(recipe=direct)
    assert made.assistance is None
    assert equal(
        weights(made),
        weights(distil(data, teacher, target, direct, steps=8, seed=3, folder=tmp_path / "direct")),
    )


def test_a_student_larger_than_every_candidate_is_refused(run, minidisc, teacher):
    large = replace(architecture_of(teacher.config), ffn_size=31)
    assert not has_room(teacher, large, minidisc)
    assert has_room(teacher, replace(large, heads=2, ffn_size=16), minidisc)
    with pytest.raises(TeacherError, match=r"leave no room for an assistant: .* name smaller .*sparsities, or write"):
        run(architecture=large)
    with pytest.raises(TeacherError, match="leave no room for an assistant"):
        run(architecture=large, recipe=replace(minidisc, schedule=MAXIDISC))


def test_a_student_that_no_assistant_can_teach_is_refused_before_the_first_step(run, minidisc, shape, recorder):
    watching = recorder()
    deep = shape(layers=5, hidden_size=8, heads=1, ffn_size=8)
    for schedule in (MINIDISC, MAXIDISC):
        scheduled = replace(minidisc, initialisation=Initialisation.RANDOM, schedule=schedule)
        with pytest.raises(TeacherError, match="a teacher of 4 layers cannot be matched to 5"):
            run(architecture=deep, recipe=scheduled, observer=watching)
    with pytest.raises(InitialisationError, match="layers of 5 is more than the teacher's 4"):
        run(architecture=deep, observer=watching)
    assert not watching.steps


def test_a_checkpoint_of_another_distillation_is_refused(run, recorder, minidisc):
    stopping = recorder(stop_after=3)
    with pytest.raises(Interrupted):
        run(observer=stopping)
    made = stopping.checkpoints[-1]
    changed = replace(minidisc, schedule=replace(MINIDISC, lambda_=0.3))
    for change in ({"seed": 4}, {"recipe": changed}):
        with pytest.raises(CheckpointError, match="of another distillation"):
            run(resume=made, **change)
    (made / "importance.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        run(resume=made)
    (made / "schedule.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not a whole checkpoint of a schedule"):
        run(resume=made)


def test_heads_that_cannot_be_compared_one_by_one_are_named(run, minidisc, target):
    maps = replace(minidisc, stages=(Stage(terms=(Term(knowledge=Knowledge.ATTENTION),)),))
    with pytest.raises(TeacherError, match=r"the slice 4x24 .*: attention by kl: layer .* use mean_mse"):
        run(recipe=maps)
