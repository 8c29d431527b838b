"""The pages of docs/reference are what the code says, and the schemas take what the reader of files takes."""

import json
import re

import jsonschema
import pytest

from cli.reference import PAGES
from cli.reference.__main__ import main as write
from cli.reference.settings import ALONE
from protocol.study_file import StudyFileError, _Document, load_distillation, load_study, parse_study
from protocol.study_meanings import MEANINGS
from protocol.study_schema import distillation_schema, study_schema
from service.settings import SETTINGS as SERVICE
from worker.settings import SETTINGS as WORKER

STUDY = "teacher: built-in\ntask: {dataset: docstrings}\n"
INTERNAL = {"STILLHOUSE_NEWS_FD", "STILLHOUSE_COMPLETE"}
"""Of the supervisor and its processes, of the shell's completion: nobody sets them."""


@pytest.fixture(scope="module")
def schemas():
    made = {"study": study_schema(), "distillation": distillation_schema()}
    for schema in made.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    return {what: jsonschema.Draft202012Validator(schema) for what, schema in made.items()}


def values(text):
    return _Document(text, "here", "study").values


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_code_says(pytestconfig, page):
    kept = pytestconfig.rootpath / "docs" / "reference" / page
    assert kept.read_text() == PAGES[page](), f"python -m cli.reference {page} > docs/reference/{page}"


def test_every_page_of_the_folder_is_written_by_somebody(pytestconfig):
    assert {path.name for path in (pytestconfig.rootpath / "docs" / "reference").iterdir()} == set(PAGES)


def test_a_page_that_nobody_writes_is_refused(capsys):
    assert write(["nothing.md"]) == 2
    assert "settings.md" in capsys.readouterr().err
    assert write([]) == 0
    assert capsys.readouterr().out == PAGES["cli.md"]()


def test_every_setting_and_every_variable_has_a_meaning(pytestconfig):
    assert all(setting.meaning for setting in (*SERVICE, *WORKER))
    told = set(ALONE) | {setting.variable for setting in (*SERVICE, *WORKER)}
    rooms = ("cli", "client", "distillation", "encoders", "hardware", "optimization", "protocol", "service", "worker")
    files = [path for room in rooms for path in (pytestconfig.rootpath / room).rglob("*.py")]
    read = {name for path in files for name in re.findall(r"\"_?(STILLHOUSE_[A-Z_]+)\"", path.read_text())}
    assert len(read) > 10
    assert read - INTERNAL <= told


def test_every_meaning_is_of_a_key_that_there_is(schemas):
    for what, validator in schemas.items():
        schema = validator.schema
        parts = {f"{what.title()}Spec": schema, **schema["$defs"]}
        for name in MEANINGS.keys() & parts.keys():
            assert set(MEANINGS[name]) == set(parts[name]["properties"]), name


@pytest.mark.parametrize("path", ["demo.yaml", "glue_cola.yaml", "distill.yaml"])
def test_examples_name_a_schema_that_takes_them(pytestconfig, schemas, path):
    file = pytestconfig.rootpath / "examples" / path
    text = file.read_text()
    (named,) = re.findall(r"\A# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    schema = json.loads((file.parent / named).read_text())
    what = "distillation" if path == "distill.yaml" else "study"
    assert schema == schemas[what].schema
    schemas[what].validate(values(text))
    (load_distillation if what == "distillation" else load_study)(file)


@pytest.mark.parametrize(
    "words",
    [
        "objectives: [accuracy, parameters]",
        "objectives: {accuracy: maximize, latency_p99: minimize}",
        "objectives: [{metric: accuracy, direction: maximize}, latency_p50]",
        "constraints: [parameters <= 30e6, 'latency_p50 <= 4 ms', {metric: accuracy, bound: 0.5, at_least: true}]",
        "search_space: tinybert",
        "search_space: {layers: 4, hidden_size: [64, 128], heads: {low: 1, high: 2}, ffn_size: {values: [128]}}",
        "search_space: {layers: 2, hidden_size: 64, heads: 2, ffn_size: 128, trigram: [true, false], norm: layer_norm}",
        "baselines: {small: distilbert, other: {layers: 2, heads: [2, 0]}, third: {model: mobilebert, layers: 6}}",
        "distillation: tinybert",
        "distillation: {preset: minilm, steps: 4e3, schedule: minidisc}",
        "distillation: {schedule: {kind: minidisc, lambda: 0.3, between: 1}}",
        "distillation: {terms: {logits: {temperature: {start: 4, end: 1}}, attention: 0.5}}",
        "distillation: {terms: {hidden_states: {matching: [[0, 0], [3, 1]], embeddings: true, every: 2}}}",
        "distillation: {stages: [{train: blocks, terms: {hidden_states: 1}}, {terms: {logits: {start: 0, end: 1}}}]}",
        "budget: {trials: 8, calibration: 16, device_hours: 2}",
        "target: {device: tpu, runtime: jax, chip: v5e, dtype: bfloat16}",
        "strategy: pareto\nsources: [earlier]\npriority: -3\nearly_stopping: true\nexternal: null",
    ],
)
def test_what_a_study_file_may_say_the_schema_takes(schemas, words):
    text = f"{STUDY}{words}\n"
    parse_study(text, origin="here", default_name="here")
    schemas["study"].validate(values(text))


def test_an_external_study_needs_no_teacher(schemas):
    text = "external: true\nobjectives: {accuracy: maximize, energy: minimize}\nconstraints: [energy <= 5]\n"
    parse_study(text, origin="here", default_name="here")
    schemas["study"].validate(values(text))
    for words in ("", "external: false\n", "external:\n"):
        mistaken = f"{words}objectives: {{accuracy: maximize, energy: minimize}}\n"
        with pytest.raises(StudyFileError):
            parse_study(mistaken, origin="here", default_name="here")
        assert not schemas["study"].is_valid(values(mistaken))
    with pytest.raises(StudyFileError):
        parse_study("external: true\n", origin="here", default_name="here")
    assert not schemas["study"].is_valid(values("external: true\n"))


@pytest.mark.parametrize(
    "words",
    [
        "trails: 3",
        "teacher: {model: built-in, epoch: 3}",
        "search_space: brt",
        "search_space: {layers: 4}",
        "search_space: {layers: 4, hidden_size: 64, heads: two, ffn_size: 128}",
        "constraints: [latency_p50 < 4 ms]",
        "constraints: latency_p50 <= 4 ms",
        "distillation: distillbert",
        "distillation: {terms: {logit: 1}}",
        "distillation: {terms: {logits: {loss: cosine}}}",
        "distillation: {terms: {logits: {matching: last}}}",
        "distillation: {steps: 0}",
        "budget: {trials: 0}",
        "budget: {trials: many}",
        "target: {device: gpu}",
        "target: {batch: 0}",
        "baselines: {small: bert}",
        "strategy: bayes",
        "early_stopping: 'yes'",
        "objectives: [accuracy]",
        "budget: {calibration: 3}",
        "teacher: {model: built-in, epochs: 0}",
        "task: {dataset: docstrings, text: [a, b, c]}",
        "distillation: {learning_rate: 0}",
        "distillation: {warmup: 1}",
        "distillation: {weight_decay: -1}",
        "distillation: {gradient_clip: 0}",
        "distillation: {stages: [{share: 0, terms: {logits: 1}}]}",
        "external: 3",
    ],
)
def test_what_no_study_file_may_say_the_schema_refuses(schemas, words):
    key = words.partition(":")[0]
    kept = [line for line in STUDY.splitlines() if not line.startswith(f"{key}:")]
    text = "\n".join([*kept, words])
    with pytest.raises(StudyFileError):
        parse_study(text, origin="here", default_name="here")
    assert not schemas["study"].is_valid(values(text))
