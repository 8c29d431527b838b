import pytest

from optimization.values import Constraint, Direction
from protocol.errors import StudyFileError
from protocol.study import StudySpec, differences
from protocol.study_file import load_study, parse_study
from search_space import Choice, IntegerRange

SMALLEST = "teacher: built-in\ntask: {dataset: docstrings}\n"


def parse(text: str) -> StudySpec:
    return parse_study(text, origin="study.yaml", default_name="study")


def complaint(text: str) -> str:
    with pytest.raises(StudyFileError) as caught:
        parse(text)
    return str(caught.value)


def test_only_teacher_and_task_have_no_default():
    spec = parse(SMALLEST)
    assert spec.name == "study"
    assert [objective.metric for objective in spec.objectives] == ["accuracy", "latency_p50"]
    assert spec.objectives[0].direction is Direction.MAXIMIZE
    assert complaint("teacher: built-in\n") == "study.yaml:1: task: is missing"
    assert complaint("task: {dataset: docstrings}\n") == "study.yaml:1: teacher: is missing"


def test_default_objectives_follow_the_tasks_metric():
    spec = parse("teacher: built-in\ntask: {dataset: docstrings, metric: matthews}\n")
    assert [objective.metric for objective in spec.objectives] == ["matthews", "latency_p50"]


def test_every_example_is_a_study(pytestconfig):
    files = sorted((pytestconfig.rootpath / "examples").glob("*.yaml"))
    assert len(files) >= 2
    for path in files:
        assert load_study(path).name


def test_dimensions_are_ranges_choices_or_one_value():
    space = "search_space: {layers: {low: 1, high: 4}, hidden_size: [96, 48], heads: 2, ffn_size: [64], head_size: 16}"
    spec = parse(SMALLEST + space)
    assert spec.search_space.layers == IntegerRange(low=1, high=4)
    assert spec.search_space.hidden_size == Choice(values=(48, 96))
    assert spec.search_space.heads == Choice(values=(2,))
    assert spec.space().size == 8


def test_constraints_carry_units():
    spec = parse(SMALLEST + "constraints: ['parameters <= 30e6', 'latency_p50 <= 4 ms', 'accuracy >= 70 %']")
    assert spec.constraints == (
        Constraint(metric="parameters", bound=30e6),
        Constraint(metric="latency_p50", bound=0.004),
        Constraint(metric="accuracy", bound=0.7, at_least=True),
    )


def test_a_study_survives_the_wire():
    text = (
        SMALLEST
        + "constraints: ['parameters <= 30e6']\nsearch_space: {layers: 2, hidden_size: [96], heads: 2, ffn_size: 8}"
    )
    spec = parse(text)
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec
    assert StudySpec.model_validate(spec.canonical()).digest == spec.digest


def test_differences_name_the_settings_that_changed():
    before, after = parse(SMALLEST), parse(SMALLEST + "budget: {trials: 7}\ndistillation: {weights: {logits: 2}}")
    assert differences(before, before) == []
    assert differences(before, after) == ["budget.trials: 32 -> 7", "distillation.weights.logits: 1.0 -> 2.0"]
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("budget:\n  trails: 3\n", "study.yaml:4: budget.trails: unknown key 'trails'; did you mean 'trials'?"),
        ("buget: 3\n", "study.yaml:3: buget: unknown key 'buget'; did you mean 'budget'?"),
        ("distillation: {weights: {logit: 1}}", "did you mean 'logits'?"),
        ("target: {device: toaster}", "study.yaml:3: target.device: Input should be 'cpu', got 'toaster'"),
        ("target: {batch: 0}", "study.yaml:3: target: batch must be an integer of at least 1, got 0"),
        ("budget:\n  parallel: 1\n  flash: two\n", "study.yaml:5: budget.flash:"),
        ("search_space: brt", "did you mean 'bert'?"),
        ("search_space: {layers: {low: 4, high: 1}, hidden_size: 8, heads: 1, ffn_size: 8}", "high 1 is below low 4"),
        ("search_space: {layers: 1, hidden_size: 64, heads: 5, ffn_size: 8}", "no hidden_size of [64] can be divided"),
        ("constraints:\n  - parameters <= 9e9\n  - parameters <= 9\n", "no architecture left has parameters <= 9"),
        ("constraints:\n  - latency_p50 <= 4\n", "study.yaml:4: constraints.0: '4' has the unit 'none'"),
        ("constraints: [latncy_p50 <= 4 ms]", "did you mean 'latency_p50'?"),
        ("constraints: [parameters = 3]", "is not a constraint"),
        ("objectives: {accuracy: maximize}", "study.yaml:3: objectives: two or more are needed"),
        ("objectives: {accuracy: maximize, latency_p50: down}", "'maximize' or 'minimize', got 'down'"),
        ("objectives: {matthews: maximize, latency_p50: minimize}", "matthews is not measured by this task"),
        ("objectives: {parameters: minimize, latency_p50: minimize}", "the task's metric accuracy must be one of them"),
        ("task: {dataset: docstrings}", "study.yaml:3: key 'task' is given twice"),
        ("name: Über Study", "study.yaml:3: name:"),
        ("seed: 2026-01-01", "a value that a study cannot have"),
        ("constraints: [parameters <= 1e99999999999999999999]", "study.yaml:3: constraints.0: "),
        ("baselines:\n  nil: {layers: 0, hidden_size: 8, heads: 1, head_size: 8, ffn_size: 8}", ":4: baselines.nil"),
        ("? [a]\n: 1", "study.yaml:3: not YAML"),
        ("seed: &a [*a]", "a value that a study cannot have"),
        ("seed: \x07", "study.yaml:3: not YAML"),
        ("budget: [", "study.yaml:3: not YAML"),
    ],
)
def test_mistakes_are_named_with_line_key_and_meaning(addition, expected):
    assert expected in complaint(SMALLEST + addition)


def test_a_metric_that_is_no_word_is_named():
    text = complaint("teacher: built-in\ntask:\n  dataset: docstrings\n  metric: [accuracy]\n")
    assert text.startswith("study.yaml:4: task.metric: ")


def test_every_mistake_is_told_at_once():
    text = complaint(SMALLEST + "seed: -1\nbudget: {trials: 0}\n")
    assert text.count("study.yaml:") == 2


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(StudyFileError, match=r"nowhere\.yaml: cannot be read"):
        load_study(tmp_path / "nowhere.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(StudyFileError, match=r"empty\.yaml: is empty"):
        load_study(tmp_path / "empty.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(StudyFileError, match="a study is a mapping"):
        load_study(tmp_path / "list.yaml")
