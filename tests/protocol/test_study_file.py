import os
from pathlib import Path

import pytest

from distillation.presets import recipe
from distillation.recipe import Knowledge, Matching, Part, Ramp, Term
from optimization.values import Constraint, Direction
from protocol.errors import StudyFileError
from protocol.study import StudySpec, differences
from protocol.study_file import line_of, load_distillation, load_study, parse_study
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


def test_a_reference_is_written_with_units_and_belongs_to_the_study():
    spec = parse(SMALLEST + "reference: {accuracy: 0.3, latency_p50: 5 ms}\n")
    assert spec.reference == {"accuracy": 0.3, "latency_p50": 0.005}
    assert StudySpec.model_validate(spec.canonical()) == spec
    assert parse(SMALLEST).reference == {}
    assert spec.digest != parse(SMALLEST).digest


def test_default_objectives_follow_the_tasks_metric():
    spec = parse("teacher: built-in\ntask: {dataset: docstrings, metric: matthews}\n")
    assert [objective.metric for objective in spec.objectives] == ["matthews", "latency_p50"]


def direction_of(spec: StudySpec) -> dict[str, Direction]:
    return {objective.metric: objective.direction for objective in spec.objectives}


def test_a_kind_of_task_brings_its_metric_and_a_metric_its_direction():
    words = "teacher: built-in\ntask: {dataset: a.jsonl, kind: token_classification}\n"
    assert direction_of(parse(words)) == {"entity_f1": Direction.MAXIMIZE, "latency_p50": Direction.MINIMIZE}
    masked = "teacher: built-in\ntask: {dataset: a.txt, kind: masked_lm, metric: perplexity}\n"
    lower = {"perplexity": Direction.MINIMIZE, "latency_p50": Direction.MINIMIZE}
    assert direction_of(parse(masked)) == lower
    assert direction_of(parse(masked + "objectives: [perplexity, latency_p50]\n")) == lower
    assert parse(masked + "constraints: [perplexity <= 12.5]\n").constraints[0].bound == 12.5


def test_transfer_texts_are_named_as_a_dataset_is():
    task = parse("teacher: built-in\ntask: {dataset: docstrings, transfer: more.txt}\n").task
    assert task.transfer is not None
    assert task.transfer.source == "more.txt"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            "kind: regression, metric: accuracy",
            "study.yaml:2: task.metric: accuracy does not fit a task of regression; fitting are pearson, spearman",
        ),
        ("kind: masked_lm, label: word", "study.yaml:2: task.label: names a column, but a task of masked_lm has no"),
        ("kind: question_answering, text: words", "study.yaml:2: task.text: names 2 columns of a task of question"),
        ("kind: clasification", "task.kind: must be 'classification', 'regression', 'token_classification'"),
        ("transfer: {source: a.txt, report: b.txt}", "study.yaml:2: task.transfer: has no report split"),
    ],
)
def test_a_task_that_is_none_is_named_by_its_key(task, expected):
    assert expected in complaint(f"teacher: built-in\ntask: {{dataset: a.txt, {task}}}\n")


def test_every_example_is_a_study(pytestconfig):
    files = sorted((pytestconfig.rootpath / "examples").glob("*.yaml"))
    assert len(files) >= 3
    for path in files:
        load = load_distillation if path.stem == "distill" else load_study
        assert load(path).name


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


def test_early_stopping_is_off_and_can_be_switched_on():
    assert parse(SMALLEST).early_stopping is False
    assert parse(SMALLEST + "early_stopping: true").early_stopping is True
    with pytest.raises(StudyFileError, match="early_stopping"):
        parse(SMALLEST + "early_stopping: often")


def test_a_study_survives_the_wire():
    text = (
        SMALLEST
        + "constraints: ['parameters <= 30e6']\nsearch_space: {layers: 2, hidden_size: [96], heads: 2, ffn_size: 8}"
    )
    spec = parse(text)
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec
    assert StudySpec.model_validate(spec.canonical()).digest == spec.digest


def test_differences_name_the_settings_that_changed():
    before, after = parse(SMALLEST), parse(SMALLEST + "budget: {trials: 7}\ndistillation: {batch_size: 8}")
    assert differences(before, before) == []
    assert differences(before, after) == ["budget.trials: 32 -> 7", "distillation.batch_size: 64 -> 8"]
    assert before.digest != after.digest


def _space(layers: str, hidden_size: int = 8) -> str:
    return f"search_space: {{layers: {layers}, hidden_size: {hidden_size}, heads: 1, ffn_size: 8}}"


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("budget:\n  trails: 3\n", "study.yaml:4: budget.trails: unknown key 'trails'; did you mean 'trials'?"),
        ("budget:\n  calibration: 9\n", "study.yaml:4: budget.calibration: must be 0 or at least 16, got 9"),
        ("buget: 3\n", "study.yaml:3: buget: unknown key 'buget'; did you mean 'budget'?"),
        ("distillation: {terms: {logit: 1}}", "did you mean 'logits'?"),
        ("distillation: minilm2", "distillation: no preset is named 'minilm2'; did you mean 'minilmv2'?"),
        ("distillation: 3", "distillation: must be text, or a mapping with some of the keys steps"),
        ("distillation: {terms: {logits: much}}", "weight: must be a number, got 'much'"),
        ("distillation: {terms: {hidden_states: {matching: frist}}}", "did you mean 'first'?"),
        ("distillation: {preset: pkd, terms: {logits: 1}}", "leave out `terms` or `preset`"),
        ("distillation: {terms: {logits: 1}, stages: []}", "give either `stages`, or the `terms`"),
        ("target: {device: toaster}", "study.yaml:3: target.device: must be 'cpu', 'cuda' or 'tpu', got 'toaster'"),
        ("target: {batch: 0}", "study.yaml:3: target.batch: must be an integer"),
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
        ("seed: 2026-01-01", "study.yaml:3: seed: must be a whole number, got '2026-01-01'"),
        ("constraints: [parameters <= 1e99999999999999999999]", "study.yaml:3: constraints.0: "),
        ("baselines:\n  nil: {layers: 0, hidden_size: 8, heads: 1, head_size: 8, ffn_size: 8}", ":4: baselines.nil"),
        (
            "baselines:\n  tiny:\n    layrs: 2",
            "study.yaml:5: baselines.tiny.layrs: unknown key 'layrs'; did you mean 'layers'?",
        ),
        ("baselines:\n  m: mobilbert", ":4: baselines.m.model: unknown model 'mobilbert' (did you mean 'mobilebert'?)"),
        ("baselines: {m: {heads: [1, two]}}", "baselines.m.heads: must be a whole number, or a list of one for each"),
        ("baselines: {m: {layers: 3, heads: [1, 2]}}", "baselines.m.heads: must be one size, or one for each of 3"),
        ("baselines: {m: {norm: batch}}", "baselines.m.norm: must be 'layer_norm' or 'no_norm', got 'batch'"),
        ("baselines: {m: {bottleneck_size: 0, attention_input: shared}}", "needs a bottleneck_size"),
        ("baselines: {m: 5}", "study.yaml:3: baselines.m: must be text, or a mapping with some of the keys model, lay"),
        ("layrs: 3", "did you mean 'search_space.layers'?"),
        ("? [a]\n: 1", "study.yaml:3: a key must be text"),
        ("seed: &a [*a]", "study.yaml:3: anchors (&) and aliases (*) are refused"),
        ("seed:\n  &a {trials: 1}", "study.yaml:4: anchors"),
        ("seed: " + "[" * 3000, "study.yaml:3: nested too deeply"),
        ("seed: " + "9" * 5000, "study.yaml:3: seed: must be a finite number"),
        ("seed: .nan", "study.yaml:3: seed: must be a finite number, got nan"),
        ("seed: !!binary aGk=", "study.yaml:3: the tag tag:yaml.org,2002:binary is refused"),
        ("--- 3", "study.yaml:3: a second document begins"),
        ("budget: {trials: true}", "study.yaml:3: budget.trials: must be a whole number, got true"),
        ("budget: {trials: '16'}", "study.yaml:3: budget.trials: must be a whole number, got '16'"),
        ("seed: 1:30", "study.yaml:3: seed: must be a whole number, got '1:30'"),
        ("distillation: {learning_rate: true}", "distillation.learning_rate: must be a number, got true"),
        ("distillation: {learning_rate: inf}", "distillation.learning_rate: must be a number, got 'inf'"),
        ("distillation: {learning_rate: 1e400}", "distillation.learning_rate: must be a finite number"),
        ("distillation: {steps: 1e30}", "distillation.steps: must be at most 100,000,000, got 1e+30"),
        ("objectives: false", "study.yaml:3: objectives: must be a list, got false"),
        ("objectives:\n  accuracy: maximize\n  latncy_p50: minimize", ":5: objectives.latncy_p50: unknown metric"),
        ("constraints:\n  - parameters <= 10", "study.yaml:4: constraints.0: no architecture left"),
        ("constraints:\n  -\n    metric: latncy_p50\n    bound: 1", "study.yaml:5: constraints.0: unknown metric"),
        ("constraints: x", "study.yaml:3: constraints: must be a list, got 'x'"),
        ("constraints: [5]", "5 is not a constraint"),
        (
            "constraints: [accuracy >= 85]",
            "accuracy is at most 1; write a share such as 0.85",
        ),
        ("constraints: [accuracy <= -1]", "constraints.0: nothing has accuracy <= -1: accuracy is at least 0"),
        ("constraints: [latency_p90 <= 0 ms]", "constraints.0: nothing has latency_p90 <= 0 s"),
        ("constraints: [parameters >= 1e15]", "constraints.0: nothing has parameters >= 1e+15"),
        (
            "constraints: [latency_p50 <= 3 ms, latency_p50 >= 4 ms]",
            "constraints.1: latency_p50 >= 0.004 s con",
        ),
        ("reference: {accuracy: 0.3}", "study.yaml:3: reference: latency_p50 is missing; name a value of each"),
        (
            "reference: {accuracy: 0.3, latncy_p50: 0.005}",
            "study.yaml:3: reference.latncy_p50: is none of the objectives: accuracy, latency_p50",
        ),
        ("reference: {accuracy: 30, latency_p50: 5 ms}", "reference.accuracy: lies between 0 and 1, got 30"),
        ("reference: {accuracy: 0.3, latency_p50: 5 kg}", "study.yaml:3: reference: '5 kg' has the unit 'kg'"),
        ("reference: {accuracy: .nan, latency_p50: 5 ms}", "study.yaml:3: reference.accuracy: must be a finite number"),
        ("reference: {accuracy: 0.3, latncy_p50: 5 ms}", "reference.latncy_p50: must be a number, got '5 ms'"),
        ("reference: 0.3", "study.yaml:3: reference: must be a mapping, got 0.3"),
        ("search_space: minlm", "study.yaml:3: search_space: unknown search space 'minlm' (did you mean 'minilm'?)"),
        (
            "search_space:\n  layers: 1\n  hidden_size: 8\n  heads: 1\n  ffn_size: 8\n  constraints:\n"
            "    - layers <= 2\n    - ffn_size > hidden_size\n    - layers <= 1",
            "study.yaml:10: search_space.constraints.1: no architecture left has ffn_size > hidden_size",
        ),
        (
            "search_space:\n  layers: 1\n  hidden_size: 8\n  heads: 1\n  ffn_size: 8\n  constraints: [layrs <= 2]",
            "study.yaml:8: search_space.constraints.0: ",
        ),
        (
            "search_space:\n  layers: 1\n  hidden_size: 64\n  heads: 5\n  ffn_size: 8",
            "study.yaml:3: search_space: the search space is empty: no hidden_size of [64]",
        ),
        (
            "search_space:\n  layers: 1\n  hidden_size: 8\n  heads: 1\n  ffn_size: 8\n  norm: laier_norm",
            "study.yaml:8: search_space.norm: unknown value 'laier_norm' (did you mean 'layer_norm'?)",
        ),
        (
            "search_space:\n  layers: 1\n  hidden_size: 8\n  heads: 1\n  ffn_size: 0",
            "study.yaml:7: search_space.ffn_size: must be at least 1, got 0",
        ),
        (
            "search_space:\n  layers: 1\n  hidden_size: 8\n  heads: 1\n  ffn_size: 8\n"
            "  bottleneck_size: {values: [4], when: depth > 2}",
            "study.yaml:8: search_space.bottleneck_size: the condition of bottleneck_size: 'depth > 2' has an unknown",
        ),
        ("search_space: 5", "study.yaml:3: search_space: must be text, or a mapping with some of the keys layers"),
        (_space("{values: [1], low: 1}"), "search_space.layers: give either `values`, or `low`, `high` and `step`"),
        *[
            (_space(text), "search_space.layers: must be a number, a list of numbers, or {low, high, step}")
            for text in ("true", "many", "1.5", "null")
        ],
        (_space("[true, 2]"), "search_space.layers.values.0: must be a whole number, got true"),
        (_space("1" + "0" * 21), "search_space.layers: must be at most 1,000,000, got 1e+21"),
        (_space("{low: 1, high: 1e30, step: 1e29}"), "search_space.layers.high: must be at most 1,000,000"),
        (_space("1e6", 1_000_000), "search_space: too large to be counted: a space with a layers of up to 1,000,000"),
        (_space("1e4", 100_000), "search_space: reaches 4e+14 parameters"),
        ("trails: 3", "unknown key 'trails'; did you mean 'budget.trials'?"),
        ("budget: [1]", "study.yaml:3: budget: must be a mapping with some of the keys trials, parallel"),
        (
            "strategy: sobl",
            "must be 'random', 'sobol', 'ax', 'evolution' or 'pareto', got 'sobl'; did you mean 'sobol'?",
        ),
        (f"name: {'a' * 999}", "begin with a letter or a digit, got 'aaaaaaaa"),
        ("seed: \x07", "study.yaml:3: not YAML"),
        ("budget: [", "study.yaml:3: not YAML"),
    ],
)
def test_mistakes_are_named_with_line_key_and_meaning(addition, expected):
    assert expected in complaint(SMALLEST + addition)


def test_a_metric_that_is_no_word_is_named():
    text = complaint("teacher: built-in\ntask:\n  dataset: docstrings\n  metric: [accuracy]\n")
    assert text.startswith("study.yaml:4: task.metric: ")


def test_long_values_are_cut():
    assert len(complaint(SMALLEST + f"name: {'a' * 9999}")) < 250


def test_very_many_mistakes_are_counted():
    text = complaint(SMALLEST + "\n".join(f"k{number}: 1" for number in range(500)))
    assert len(text.splitlines()) == 21
    assert "and 480 more mistakes" in text


def test_plain_scalars_are_read_as_in_yaml_1_2():
    spec = parse(SMALLEST.replace("docstrings", "docstrings, label: no") + "seed: 010\ndistillation: {steps: 1e3}")
    assert (spec.task.label, spec.seed, spec.distillation.steps) == ("no", 10, 1000)


def test_name_of_the_file_that_is_no_name_is_told_as_such():
    with pytest.raises(StudyFileError, match="it is the file's name"):
        parse_study(SMALLEST, origin="My study.yaml", default_name="my study")


def test_what_is_no_regular_file_or_too_large_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo.yaml")
    for path in (tmp_path / "fifo.yaml", Path("/dev/zero")):
        with pytest.raises(StudyFileError, match="is no regular file"):
            load_study(path)
    (tmp_path / "large.yaml").write_text("#" * 300_000)
    with pytest.raises(StudyFileError, match=r"large\.yaml: is larger than 256 KiB"):
        load_study(tmp_path / "large.yaml")


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


def test_a_space_may_name_options_conditions_and_constraints():
    space = (
        "search_space: {layers: [2, 4], hidden_size: [64, 128], heads: 2, ffn_size: [128, 256],"
        " bottleneck_size: {values: [0, 32], when: hidden_size >= 128}, norm: [layer_norm, no_norm],"
        " constraints: ['ffn_size == 2 * hidden_size']}"
    )
    found = parse(SMALLEST + space).space()
    assert found.size == 2 * 2 * (1 + 2)  # layers, norms; a bottleneck or none at 128 units, none at 64
    assert set(found.columns["ffn_size"] / found.columns["hidden_size"]) == {2.0}


def test_baselines_name_what_is_their_own_or_a_known_model():
    baselines = "baselines: {cut: {heads: [2, 1], norm: no_norm, trigram: true}, mobilebert: mobilebert}"
    spec = parse(SMALLEST + baselines)
    assert spec.canonical()["baselines"] == {
        "cut": {"heads": [2, 1], "norm": "no_norm", "trigram": True},
        "mobilebert": {"model": "mobilebert"},
    }
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec
    assert StudySpec.model_validate(spec.canonical()).digest == spec.digest


def test_a_bound_on_all_parameters_does_not_assume_the_vocabulary_of_bert():
    space = "search_space: {layers: 2, hidden_size: 64, heads: 2, ffn_size: 128, constraints: ['parameters <= 1e6']}"
    assert parse(SMALLEST + space).space().size == 1
    text = complaint(SMALLEST + space.replace("1e6", "1e4"))
    assert "search_space.constraints.0: no architecture left has parameters <= 10,000; the smallest has" in text


def test_presets_keep_their_options():
    found = parse(SMALLEST + "search_space: autodistill").space()
    assert found.size == 576
    assert found.architecture(0).trigram


def test_a_recipe_is_a_preset_or_is_composed_of_terms():
    assert parse(SMALLEST + "distillation: minilmv2").distillation == recipe("minilmv2")
    assert parse(SMALLEST + "distillation: {preset: pkd, steps: 300}").distillation == recipe("pkd", steps=300)
    composed = parse(
        SMALLEST
        + """
distillation:
  steps: 500
  terms:
    logits: {temperature: 2, weight: {start: 0, end: 1}}
    attention_relations: {matching: last1, weight: 3}
    hidden_states: 0.5
"""
    ).distillation
    (stage,) = composed.stages
    assert stage.terms == (
        Term(knowledge=Knowledge.LOGITS, temperature=2.0, weight=Ramp(start=0.0, end=1.0)),
        Term(knowledge=Knowledge.ATTENTION_RELATIONS, matching=Matching.LAST1, weight=3.0),
        Term(knowledge=Knowledge.HIDDEN_STATES, weight=0.5),
    )
    staged = parse(
        SMALLEST
        + """
distillation:
  stages:
    - {train: blocks, share: 2, terms: {hidden_states: {matching: [[1, 0], [3, 1]]}}}
    - {terms: [{knowledge: logits}, {knowledge: logits, loss: mse}]}
"""
    ).distillation
    assert [stage.train for stage in staged.stages] == [Part.BLOCKS, Part.ALL]
    assert staged.stages[0].terms[0].matching == ((1, 0), (3, 1))


def test_a_recipe_is_written_and_read_again_without_a_change():
    for text in ("mobilebert", "{terms: {hidden_states: {matching: [[1, 0]]}}}"):
        spec = parse(SMALLEST + f"distillation: {text}")
        again = StudySpec.model_validate_json(spec.model_dump_json(), strict=True)
        assert (again, again.digest) == (spec, spec.digest)


LINES = """\
teacher: built-in
task:
  dataset: docstrings
constraints:
  - latency_p50 <= 4 ms
  - parameters <= 5e6
baselines:
  a.b: {layers: 2, hidden_size: 64, heads: 2, ffn_size: 128}
objectives: {accuracy: maximize, latency_p50: minimize}
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("teacher", 1),
        ("task.dataset", 3),
        ("task.dataset.report", 3),
        ("constraints.1", 6),
        ("constraints.7", 4),
        ("baselines.a.b", 7),
        ("objectives.1", 9),
        ("budget", None),
        ("", None),
    ],
)
def test_the_line_of_a_key_is_that_of_the_nearest_one_that_is_there(key, line):
    assert line_of(LINES, key) == line


def test_a_text_that_is_no_study_file_has_no_lines():
    assert [line_of(text, "teacher") for text in ("", "- teacher", "teacher: [")] == [None] * 3


def test_a_baseline_that_only_a_teacher_with_a_bottleneck_allows_is_a_baseline():
    spec = parse(SMALLEST + "baselines: {narrow: {attention_input: shared}}\n")
    assert spec.baselines["narrow"].smallest().bottleneck_size == 1


def test_flash_steps_have_the_floor_of_the_study_or_of_its_kind_of_task():
    def steps(budget="{}", kind="classification"):
        text = SMALLEST.replace("docstrings}", f"docstrings, kind: {kind}}}")
        return parse(f"{text}budget: {budget}\ndistillation: {{steps: 1000}}\n").flash_steps

    assert steps() == 50
    assert steps("{flash: 0.01}") == 50
    assert steps("{flash: 0.01, flash_floor: 7}") == 10
    assert steps("{flash_floor: 300}") == 300
    assert steps(kind="masked_lm") == 200


EXTERNAL = "external: true\nobjectives: {accuracy: maximize, energy: minimize}\n"


def test_external_study_needs_neither_teacher_nor_task():
    spec = parse(EXTERNAL + "constraints: [energy <= 2.5, latency_p50 <= 4 ms]\n")
    assert spec.judged_metrics == ("accuracy", "energy", "latency_p50")
    assert [constraint.bound for constraint in spec.constraints] == [2.5, 4e-3]
    assert StudySpec.model_validate(spec.canonical()) == spec


def test_architectures_of_an_external_study_have_the_vocabulary_that_it_names():
    spec = parse(EXTERNAL.replace("true", "{vocabulary_size: 1000, max_positions: 64, token_types: 0}"))
    architecture = spec.space().architecture(0)
    assert (architecture.vocabulary_size, architecture.max_positions, architecture.token_types) == (1000, 64, 0)


def test_constraints_on_what_depends_on_the_vocabulary_count_all_of_an_external_study():
    space = "search_space: {layers: [1, 2], hidden_size: 16, heads: 1, ffn_size: 16, constraints: [parameters <= 19e3]}"
    spec = parse(EXTERNAL.replace("true", "{vocabulary_size: 500}") + space)
    whole = parse(EXTERNAL.replace("true", "{vocabulary_size: 500}") + space.replace("19e3", "19e9"))
    assert 0 < spec.space().size < whole.space().size


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("external: true\n", "objectives: an external study names its own"),
        ("external: true\nobjectives: [accuracy, energy]\n", "objectives: say which direction of energy is better"),
        (EXTERNAL + "teacher: built-in\n", "teacher: says nothing of an external study"),
        (EXTERNAL + "task: {dataset: docstrings}\n", "task: says nothing of an external study"),
        (EXTERNAL + "early_stopping: true\n", "early_stopping: says nothing of an external study"),
        (EXTERNAL + "budget: {calibration: 64}\n", "budget.calibration: says nothing of an external study"),
        (EXTERNAL + "baselines: {a: {layers: 2}}\n", "baselines: says nothing of an external study"),
        ("external: true\nobjectives: {a b: maximize, c: minimize}\n", "metric 1 is no name: 'a b'"),
        ("external: true\nobjectives: {a: maximize, flops: minimize}\n", "flops follows from the architecture"),
        ("external: {vocabulary: 5}\nobjectives: {a: maximize, c: minimize}\n", "unknown key 'vocabulary'"),
    ],
)
def test_what_an_external_study_cannot_say_is_told_with_its_key(text, told):
    assert told in complaint(text)


def test_metrics_of_ones_own_are_for_external_studies_alone():
    assert "unknown metric 'energy'" in complaint(SMALLEST + "objectives: {accuracy: maximize, energy: minimize}\n")
    assert "unknown metric 'energy'" in complaint(SMALLEST + "constraints: [energy <= 5]\n")


def test_device_hours_and_priority_have_bounds():
    spec = parse(SMALLEST + "budget: {device_hours: 2.5}\npriority: 7\n")
    assert (spec.budget.device_hours, spec.priority) == (2.5, 7)
    assert "budget.device_hours: must be above 0" in complaint(SMALLEST + "budget: {device_hours: 0}\n")
    assert "priority: must be at most 100" in complaint(SMALLEST + "priority: 101\n")
