"""Files of one distillation: the words of a study, and mistakes told as a study's are."""

import pytest

from distillation.presets import recipe
from distillation.recipe import Initialisation, Recipe
from distillation.schedule import Schedule
from distillation.values import Dataset, Metric, Teacher
from protocol.baseline import ShapeSpec
from protocol.distillation import DistillationSpec
from protocol.errors import StudyFileError
from protocol.study_file import load_distillation, parse_distillation, parse_study
from search_space import Architecture, InvalidArchitectureError, Pooler

SMALLEST = "teacher: built-in\ntask: {dataset: docstrings}\n"
TEACHER = Architecture(vocabulary_size=90, layers=4, hidden_size=32, heads=4, head_size=8, ffn_size=64, pooler="tanh")


def parse(text: str) -> DistillationSpec:
    return parse_distillation(text, origin="one.yaml", default_name="one")


def complaint(text: str) -> str:
    with pytest.raises(StudyFileError) as caught:
        parse(text)
    return str(caught.value)


def test_only_teacher_and_task_have_no_default():
    spec = parse(SMALLEST)
    assert (spec.name, spec.seed, spec.previous, spec.distillation) == ("one", 0, None, Recipe())
    assert complaint("teacher: built-in\n") == "one.yaml:1: task: is missing"
    assert complaint("") == "one.yaml: is empty; a distillation needs at least `teacher` and `task`"
    assert complaint("- 1\n").startswith("one.yaml:1: a distillation is a mapping")


def test_sections_of_a_study_mean_the_same_here():
    sections = (
        "teacher: {model: google-bert/bert-base-uncased, epochs: 3, learning_rate: 2e-5}\n"
        "task: {dataset: a.tsv, text: sentence, label: label, metric: matthews}\n"
        "distillation: {preset: tinybert, steps: 40}\n"
        "seed: 7\n"
    )
    spec, study = parse(sections), parse_study(sections, origin="s", default_name="one")
    assert (spec.teacher, spec.task, spec.distillation, spec.seed) == (
        study.teacher,
        study.task,
        study.distillation,
        study.seed,
    )
    assert spec.teacher == Teacher(model="google-bert/bert-base-uncased", epochs=3, learning_rate=2e-5)
    assert (spec.task.dataset, spec.task.metric) == (Dataset(source="a.tsv"), Metric.MATTHEWS)
    assert spec.distillation == recipe("tinybert", steps=40)


def test_a_student_is_the_lower_half_or_a_shape_or_a_known_model():
    half = parse(SMALLEST).architecture(TEACHER, pools_first_token=True)
    assert (half.layers, half.hidden_size, half.pooler) == (2, 32, Pooler.TANH)
    assert parse(SMALLEST).architecture(TEACHER, pools_first_token=False).pooler is Pooler.NONE
    shaped = parse(SMALLEST + "student: {layers: 3, ffn_size: [8, 16, 24]}\n")
    assert shaped.student == ShapeSpec(layers=3, ffn_size=(8, 16, 24))
    assert shaped.architecture(TEACHER, pools_first_token=True).ffn_size == (8, 16, 24)
    known = parse(SMALLEST + "student: tinybert-4\n").architecture(TEACHER, pools_first_token=False)
    assert (known.hidden_size, known.vocabulary_size) == (312, 90)


def test_a_shape_that_this_teacher_forbids_is_told_when_it_is_known():
    spec = parse(SMALLEST + "student: {attention_input: shared}\n")
    with pytest.raises(InvalidArchitectureError):
        spec.architecture(TEACHER, pools_first_token=True)


def test_a_previous_student_goes_with_its_initialisation():
    spec = parse(SMALLEST + "distillation: {initialisation: previous}\nprevious: there\n")
    assert (spec.previous, spec.distillation.initialisation) == ("there", Initialisation.PREVIOUS)
    alone = complaint(SMALLEST + "previous: there\n")
    assert alone.startswith("one.yaml:3: previous: needs `initialisation: previous`")
    assert "previous: is missing" in complaint(SMALLEST + "distillation: {initialisation: previous}\n")


def test_a_schedule_is_a_name_or_settings():
    named = parse(SMALLEST + "distillation: {preset: minidisc, schedule: minidisc}\n")
    assert named.distillation == recipe("minidisc", schedule=Schedule(kind="minidisc"))
    settings = "{kind: minidisc, lambda: 0.3, iterations: 2, sparsities: [0.9, 0.5], between: 1, ranking: layer}"
    set_up = parse(SMALLEST + f"distillation: {{schedule: {settings}}}\n").distillation.schedule
    assert set_up == Schedule(
        kind="minidisc", lambda_=0.3, iterations=2, sparsities=(0.5, 0.9), between=1, ranking="layer"
    )
    again = DistillationSpec.model_validate_json(named.model_dump_json())
    assert again == named


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            "minidisk",
            "schedule.kind: must be 'direct', 'minidisc' or 'maxidisc', got 'minidisk'; did you mean 'minidisc'?",
        ),
        ("{kind: minidisc, lambda: -1}", "schedule.lambda: must be a number of at least 0, got -1"),
        ("{kind: minidisc, lambda: many}", "schedule.lambda: must be a number, got 'many'"),
        ("{kind: minidisc, lamda: 1}", "schedule.lamda: unknown key 'lamda'; did you mean 'lambda'?"),
        ("{kind: minidisc, sparsity: [0.5]}", "schedule.sparsity: unknown key 'sparsity'; did you mean 'sparsities'?"),
        ("{kind: minidisc, sparsities: [0.5]}", "schedule.sparsities: must be at least two for minidisc"),
        ("{kind: minidisc, sparsities: [0.5, 2]}", "schedule.sparsities: are shares of units in [0, 1), got 2"),
        ("{kind: direct, between: 2}", "schedule.between: says nothing of the schedule direct; leave it out"),
        ("3", "schedule: must be text, or a mapping with some of the keys kind, lambda, "),
    ],
)
def test_mistakes_in_a_schedule_name_their_key(schedule, message):
    told = complaint(f"{SMALLEST}distillation:\n  steps: 10\n  schedule: {schedule}\n")
    assert f"one.yaml:5: distillation.{message}" in told


def test_a_schedule_that_cannot_judge_by_the_metric_is_refused():
    text = "teacher: built-in\ntask: {dataset: a.txt, kind: masked_lm, metric: perplexity}\n"
    told = complaint(text + "distillation: {schedule: minidisc}\n")
    assert "one.yaml:3: distillation.schedule: minidisc chooses by a metric" in told
    assert "perplexity is none; name another `task.metric`" in told


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("distillation: tinyber", "one.yaml:3: distillation: no preset is named 'tinyber'; did you mean 'tinybert'?"),
        ("search_space: bert", "one.yaml:3: search_space: unknown key 'search_space'"),
        ("student: tinybert-5", "one.yaml:3: student.model: unknown model 'tinybert-5' (did you mean 'tinybert-6'?)"),
        ("student: {layer: 2}", "one.yaml:3: student.layer: unknown key 'layer'; did you mean 'layers'?"),
        ("student: 3", "one.yaml:3: student: must be text, or a mapping"),
        ("student: {layers: 10000000}", "one.yaml:3: student.layers: must be at most 1,000,000, got 1e+07"),
        (
            "student: {layers: 1000000, hidden_size: 1000000}",
            "one.yaml:3: student: reaches 1.2e+13 parameters, more than 1e+12",
        ),
        ("seed: -1", "one.yaml:3: seed: must be at least 0, got -1"),
        ("sparsity: 1", "one.yaml:3: sparsity: must be below 1.0, got 1"),
        (
            "student: {layers: 1}\nsparsity: 0.5",
            "one.yaml:4: sparsity: says what the student is, and so does `student`",
        ),
        ("name: Big", "one.yaml:3: name: must be 1 to 64 of a-z"),
        ("---", "a second document begins; a distillation is one"),
    ],
)
def test_mistakes_name_line_key_and_what_was_meant(line, message):
    assert message in complaint(f"{SMALLEST}{line}\n")


def test_a_file_gives_its_name(tmp_path):
    path = tmp_path / "Tiny.yaml"
    path.write_text(SMALLEST)
    assert load_distillation(path).name == "tiny"
    with pytest.raises(StudyFileError, match=r"nowhere\.yaml: cannot be read"):
        load_distillation(tmp_path / "nowhere.yaml")
