import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from distillation.assistants.importance import gradient_importance
from distillation.batches import Encoded
from distillation.cache import Cache
from distillation.checkpoint import weights_hash
from distillation.distil import distil, report
from distillation.errors import CheckpointError, DivergedError, Interrupted, SaveError, TeacherError
from distillation.presets import recipe as preset
from distillation.recipe import Initialisation, Knowledge, Recipe, Stage, Term
from distillation.splits import SelectionSplit
from encoders.build import architecture_of, build
from encoders.errors import InitialisationError
from encoders.initialisation import initialise_from_teacher
from encoders.values import Head

LABELS_ALONE = (Stage(terms=(Term(knowledge=Knowledge.HARD_LABELS),)),)


@pytest.fixture
def run(data, teacher, shape, recipe, tmp_path):
    def start(**changes):
        given = {
            "data": data,
            "teacher": teacher,
            "architecture": shape(),
            "recipe": recipe,
            "steps": 12,
            "seed": 3,
            "folder": tmp_path / "scratch",
        } | changes
        positional = [given.pop(name) for name in ("data", "teacher", "architecture", "recipe")]
        return distil(*positional, **given)

    return start


def weights(distilled):
    return distilled.model.state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_student_learns_the_task_from_its_teacher(run, data, teacher, recipe, report_data, recorder, tmp_path):
    labels_only = replace(recipe, stages=LABELS_ALONE)
    trained = run(
        architecture=architecture_of(teacher.config), recipe=labels_only, steps=60, folder=tmp_path / "teacher"
    ).model
    watching = recorder()
    student = run(teacher=trained, steps=40, observer=watching)
    assert student.selection.value > 0.8
    assert student.selection.low < student.selection.value <= student.selection.high
    assert student.selection.examples == len(data.selection.examples)
    assert report(student.model, report_data, recipe).value > 0.8
    assert [(point.step, point.value) for point in student.curve] == watching.curve
    assert [point.step for point in student.curve] == [10, 20, 30, 40]
    assert student.curve[-1].value == student.selection.value
    assert [(step, steps) for step, steps, _ in watching.steps] == [(step, 40) for step in range(1, 41)]
    assert watching.stages == ["distilling"]
    assert student.model.config.id2label == dict(enumerate(data.classes))
    assert not student.model.training


def test_equal_arguments_give_equal_weights_and_other_seeds_others(run):
    first = weights(run())
    assert equal(first, weights(run()))
    assert not equal(first, weights(run(seed=4)))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_stopped_and_resumed_distillation_ends_with_the_same_bits(run, recorder, tmp_path, dropout, monkeypatch):
    def dropping(*arguments, **named):
        # Students have no dropout: with it the random state must be resumed as well.
        model = build(*arguments, **named)
        for module in model.modules():
            if hasattr(module, "dropout"):
                module.dropout = torch.nn.Dropout(dropout) if isinstance(module.dropout, torch.nn.Module) else dropout
        return model

    monkeypatch.setattr("distillation.distil.build", dropping)
    whole = run()
    checkpoint = None
    for after in (5, 1, 2):
        stopping = recorder(stop_after=after)
        with pytest.raises(Interrupted, match="stopped after"):
            run(observer=stopping, resume=checkpoint, folder=tmp_path / f"attempt{after}")
        checkpoint = stopping.checkpoints[-1]
        torch.manual_seed(after)  # whatever else the process does meanwhile
    resumed = run(resume=checkpoint, folder=tmp_path / "last")
    assert equal(weights(resumed), weights(whole))
    assert resumed.curve == whole.curve
    assert resumed.selection == whole.selection


def test_stages_train_their_parts_and_resume_to_the_same_bits_at_any_step(run, recorder, tmp_path, shape):
    changes = {"recipe": replace(preset("mobilebert"), max_length=12, batch_size=16), "architecture": shape(layers=3)}
    whole = run(**changes)
    checkpoint = None
    # 12 steps: 2 for each of three blocks, 6 for all; stops within phases, and at the end of one.
    for attempt, after in enumerate((1, 1, 3, 1, 4)):
        stopping = recorder(stop_after=after)
        with pytest.raises(Interrupted):
            run(observer=stopping, resume=checkpoint, folder=tmp_path / f"attempt{attempt}", **changes)
        checkpoint = stopping.checkpoints[-1]
    assert equal(weights(run(resume=checkpoint, folder=tmp_path / "last", **changes)), weights(whole))


def test_the_best_weights_are_kept_where_the_recipe_says_so_and_survive_a_stop(run, recipe, recorder, tmp_path):
    wild = replace(recipe, learning_rate=0.3, embedding_learning_rate=0.3, keep="best", stages=LABELS_ALONE)
    whole = run(recipe=wild)
    assert whole.selection.value == max(point.value for point in whole.curve)
    assert run(recipe=replace(wild, keep="last")).selection.value == whole.curve[-1].value
    stopping = recorder(stop_after=8)
    with pytest.raises(Interrupted):
        run(recipe=wild, observer=stopping, folder=tmp_path / "attempt")
    resumed = run(recipe=wild, resume=stopping.checkpoints[-1], folder=tmp_path / "last")
    assert (resumed.selection, resumed.curve) == (whole.selection, whole.curve)
    assert equal(weights(resumed), weights(whole))


def test_bfloat16_computes_less_exactly_and_keeps_weights_and_losses_whole(run, recipe, recorder):
    exact, rough = recorder(), recorder()
    whole = run(observer=exact)
    low = run(recipe=replace(recipe, precision="bfloat16"), observer=rough)
    assert {weight.dtype for weight in low.model.parameters()} == {torch.float32}
    assert not equal(weights(low), weights(whole))
    assert rough.steps[0][2] == pytest.approx(exact.steps[0][2], rel=0.02)
    assert rough.steps[-1][2] == pytest.approx(exact.steps[-1][2], rel=0.2)


def test_a_student_may_start_from_a_previous_one(run, recipe, shape):
    previous = run(steps=6).model
    after = replace(recipe, initialisation="previous")
    larger = run(recipe=after, previous=previous, architecture=shape(ffn_size=48), steps=1)
    assert larger.model.config.ffn_size != previous.config.ffn_size
    with pytest.raises(TeacherError, match="initialisation is previous, and no previous student is given"):
        run(recipe=after)
    with pytest.raises(TeacherError, match="initialisation is lower, and a previous student is given"):
        run(previous=previous)


def test_units_of_importance_are_those_that_the_loss_rests_on(run, data, teacher, recipe, shape):
    texts = Encoded(data.selection, data.tokenizer, max_length=recipe.max_length)
    importance = gradient_importance(teacher, texts, device=torch.device("cpu"), hidden=True)
    expected = build(shape(), Head(classes=3), data.classes, seed=3)
    initialise_from_teacher(expected, teacher, importance=importance)
    made = run(recipe=replace(recipe, units="importance", rescaling="sum"), steps=1)
    assert made.initial_weights == weights_hash(expected)
    assert made.initial_weights != run(recipe=replace(recipe, units="norms", rescaling="sum"), steps=1).initial_weights
    bare = SelectionSplit(tuple(replace(example, label=None) for example in data.selection.examples))
    with pytest.raises(TeacherError, match="units have no importance without labels"):
        run(data=replace(data, selection=bare), recipe=replace(recipe, units="importance"))


def test_importance_is_computed_once_for_all_students_and_changes_no_bit_of_them(run, shape, recorder, tmp_path):
    cache, watching = Cache(folder=tmp_path / "teachers", budget_bytes=10**6), recorder()
    best = preset("best-practice", batch_size=16, max_length=12)
    labels = replace(best, stages=LABELS_ALONE)  # else the teacher's outputs are cached as well, to other last digits
    students = [{}, {"architecture": shape(hidden_size=8, heads=1)}, {"seed": 4}]
    for number, student in enumerate(students):
        alone = run(recipe=labels, folder=tmp_path / f"alone-{number}", **student)
        shared = run(recipe=labels, folder=tmp_path / f"shared-{number}", cache=cache, observer=watching, **student)
        assert shared.initial_weights == alone.initial_weights
        assert equal(weights(shared), weights(alone))
        taught = run(recipe=best, folder=tmp_path / f"taught-{number}", cache=cache, observer=watching, **student)
        assert taught.initial_weights == alone.initial_weights
    assert watching.stages.count("importance of the teacher's units") == 1
    assert watching.stages.count("distilling") == 2 * len(students)
    assert watching.stages[-1] == "distilling"


def test_a_distillation_stops_while_importance_is_computed(run, recipe, recorder):
    with pytest.raises(Interrupted, match="stopped while the importance of units was computed"):
        run(recipe=replace(recipe, units="importance"), observer=recorder(stop_after=0))


def test_long_texts_tell_importance_by_a_bound_number_of_rows(run, data, teacher, recipe, monkeypatch):
    by_importance = replace(recipe, units="importance")
    whole = run(recipe=by_importance, steps=1).initial_weights
    monkeypatch.setattr("distillation.distil.MOST_ROWS", len(data.selection.examples))
    assert run(recipe=by_importance, steps=1).initial_weights == whole
    monkeypatch.setattr("distillation.distil.MOST_ROWS", 3)
    assert run(recipe=by_importance, steps=1).initial_weights != whole


def test_the_random_state_of_the_caller_is_left_alone(run):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_checkpoints_are_safetensors_and_json_and_the_newest_two_are_kept(run, recorder, tmp_path):
    watching = recorder()
    run(checkpoint_every_s=0.0, observer=watching)
    assert len(watching.checkpoints) == 11
    left = sorted((tmp_path / "scratch").iterdir())
    assert left == watching.checkpoints[-2:]
    assert sorted(path.name for path in left[0].iterdir()) == ["state.json", "state.safetensors"]
    assert json.loads((left[1] / "state.json").read_text())["step"] == 11
    tensors = load_file(left[1] / "state.safetensors")
    assert any(name.startswith("criterion.layers.0.projections.") for name in tensors)
    assert any(name.endswith(".exp_avg_sq") for name in tensors)


def test_a_checkpoint_of_another_distillation_is_refused(run, recorder, shape, recipe):
    stopping = recorder(stop_after=3)
    with pytest.raises(Interrupted):
        run(observer=stopping)
    made = stopping.checkpoints[-1]
    for change in (
        {"seed": 4},
        {"steps": 13},
        {"architecture": shape(ffn_size=24)},
        {"recipe": replace(recipe, units="norms")},
    ):
        with pytest.raises(CheckpointError, match="of another training"):
            run(resume=made, **change)


def test_a_damaged_checkpoint_is_refused(run, recorder):
    stopping = recorder(stop_after=3)
    with pytest.raises(Interrupted):
        run(observer=stopping)
    made = stopping.checkpoints[-1]
    tensors = made / "state.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        run(resume=made)
    for broken in ("[]", "{}", '{"schema_version": 1, "training": 3}'):
        (made / "state.json").write_text(broken)
        with pytest.raises(CheckpointError):
            run(resume=made)
    (made / "state.json").unlink()
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        run(resume=made)


def test_a_loss_that_is_not_finite_ends_the_distillation(run, teacher):
    with torch.no_grad():
        teacher.classifier.bias[0] = float("nan")
    with pytest.raises(DivergedError, match=r"diverged in step 1 of 12: loss nan"):
        run(recipe=Recipe(steps=12, max_length=12, initialisation=Initialisation.RANDOM))


def test_a_student_of_the_teacher_starts_better_than_a_random_one(run, data, recipe, teacher, tmp_path):
    labels_only = replace(recipe, stages=LABELS_ALONE)
    shape = architecture_of(teacher.config)
    trained = run(architecture=shape, recipe=labels_only, steps=60).model
    copied = run(teacher=trained, architecture=shape, steps=1)
    random = run(teacher=trained, architecture=shape, steps=1, recipe=replace(recipe, initialisation="random"))
    assert copied.selection.value > random.selection.value + 0.2


def test_what_does_not_fit_together_is_named(run, shape, recipe):
    with pytest.raises(TeacherError, match=r"distillation\.max_length of 17 is more than the teacher's 16 positions"):
        run(recipe=replace(recipe, max_length=17))
    with pytest.raises(TeacherError, match=r"max_length of 12 is more than the student's 8 positions"):
        run(architecture=shape(max_positions=8))
    with pytest.raises(TeacherError, match="the student's vocabulary_size of 20 is less than the tokenizer's"):
        run(architecture=shape(vocabulary_size=20))
    with pytest.raises(TeacherError, match="the teacher tells 5 classes apart, but the data has 3"):
        run(teacher=build(shape(), Head(classes=5)))
    with pytest.raises(TeacherError, match="a teacher of 4 layers cannot be matched to 5"):
        run(architecture=shape(layers=5), recipe=replace(recipe, initialisation="random"))
    with pytest.raises(InitialisationError, match="hidden_size of 32 is more than the teacher's 24"):
        run(architecture=shape(hidden_size=32))


def test_a_full_disk_is_said_clearly_and_leaves_no_half_checkpoint(folder, tmp_path):
    """The real thing in a process of its own: no file may grow beyond 10 kB there."""
    program = """
import resource, sys
from pathlib import Path
from distillation.data import read_data
from distillation.distil import distil
from distillation.errors import SaveError
from distillation.recipe import Recipe
from encoders.build import build
from encoders.values import Head
from search_space import Architecture
data, scratch = read_data(Path(sys.argv[1])), Path(sys.argv[2])
size = dict(vocabulary_size=200, layers=1, hidden_size=16, heads=2, head_size=8, ffn_size=32, max_positions=16)
teacher = build(Architecture(**size), Head(classes=3))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    distil(data, teacher, Architecture(**size), Recipe(max_length=12, batch_size=4), steps=3, seed=0, folder=scratch,
           checkpoint_every_s=0.0)
except SaveError as error:
    assert "cannot write" in str(error) and "checkpoint-00000001" in str(error), error
else:
    raise SystemExit("written all the same")
assert not list(scratch.iterdir()), list(scratch.iterdir())
"""
    assert issubclass(SaveError, OSError)
    done = subprocess.run(
        [sys.executable, "-c", program, folder, tmp_path / "scratch"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
