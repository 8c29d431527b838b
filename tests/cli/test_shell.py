"""The command as a shell sees it: how fast it starts, what it completes, what its codes mean."""

import json
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from cli.errors import ExitCode
from cli.reference.command import SHAPES, WITHOUT, reference
from protocol import study_schema

MOST_MODULES = 220
"""`--help` imports so many at most, interpreter and Typer included: each costs a start some time."""


def completed(stillhouse, monkeypatch, words):
    """What bash is offered for the last of these words."""
    monkeypatch.setenv("_STILLHOUSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    _, out, _ = stillhouse()
    return out.split()


def test_help_imports_few_modules():
    code = (
        "import sys\nfrom cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(len(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stderr) <= MOST_MODULES


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("stillhouse pre", ["preview"]),
        ("stillhouse study cr", ["create"]),
        ("stillhouse measure --eff", ["--effort"]),
        ("stillhouse doctor --j", ["--json"]),
        ("stillhouse measure --effort ", ["quick", "search", "report"]),
        ("stillhouse measure --quantile p9", ["p90", "p99"]),
        ("stillhouse calibrate --effort q", ["quick"]),
        ("stillhouse distill --device ", ["cpu", "cuda"]),
        ("stillhouse export --format ", ["huggingface", "onnx", "stablehlo"]),
        ("stillhouse export --platform t", ["tpu"]),
        ("stillhouse study export --format ", ["csv", "json", "parquet"]),
        ("stillhouse front demo --metric latency_", ["latency_p50", "latency_p90", "latency_p99"]),
        ("stillhouse worker --kind ", ["prepare", "calibrate", "measure", "distill", "finalize"]),
        ("stillhouse token create --scope ", ["admin", "user", "worker", "read-only"]),
    ],
)
def test_a_shell_completes_commands_and_options(stillhouse, monkeypatch, words, offered):
    assert completed(stillhouse, monkeypatch, words) == offered


def test_help_says_all_of_what_a_command_does_and_no_types_of_python(stillhouse):
    code, out, _ = stillhouse("--help")
    assert code == 0
    assert "..." not in out.partition("Commands:")[2]
    assert "checkpoints; the same command" in " ".join(out.split())
    _, out, _ = stillhouse("worker", "--help")
    assert "--kind KIND" in out
    assert "<list[str]>" not in out


def test_the_version_is_told(stillhouse):
    code, out, err = stillhouse("--version")
    assert (code, err) == (0, "")
    assert out == f"stillhouse {version('stillhouse')}\n"


def test_without_a_service_no_name_is_offered(stillhouse, monkeypatch):
    assert completed(stillhouse, monkeypatch, "stillhouse study show d") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_can_be_had(stillhouse, monkeypatch, shell):
    monkeypatch.setenv("_STILLHOUSE_COMPLETE", f"source_{shell}")
    code, out, _ = stillhouse()
    assert code == 0
    assert "_STILLHOUSE_COMPLETE" in out
    assert "stillhouse" in out


def test_every_exit_code_says_what_it_means(stillhouse):
    assert {code.value for code in ExitCode} == {0, 1, 2, 3, 4, 130}
    for code in ExitCode:
        assert re.search(r"\w", code.meaning)


def test_the_reference_is_what_the_command_says(pytestconfig):
    """`python -m cli.reference > docs/reference/cli.md` writes it."""
    assert (pytestconfig.rootpath / "docs" / "reference" / "cli.md").read_text() == reference()


def test_the_reference_has_every_command_and_code():
    text = reference()
    for command in ("run", "study create", "study report", "trial show", "doctor", "export"):
        assert f"\n## stillhouse {command}\n" in text
    for code in ExitCode:
        assert f"\n| {code.value} | {code.meaning} |\n" in text
    assert "--supervised" not in text


@pytest.mark.parametrize(
    ("options", "made"), [((), study_schema.study_schema), (("--distillation",), study_schema.distillation_schema)]
)
def test_the_schema_of_files_is_printed_without_a_service(stillhouse, options, made):
    code, out, err = stillhouse("study", "schema", *options)
    assert (code, err) == (0, "")
    assert json.loads(out) == made()


def test_every_command_that_prints_json_has_its_shape_in_the_reference():
    sections = re.split(r"\n## stillhouse ", reference())[1:]
    with_json = {section.split("\n")[0] for section in sections if "`--json`" in section}
    assert {section.split("\n")[0] for section in sections} - with_json == set(WITHOUT)
    of_options = {name: name.rpartition(" ") for name in SHAPES if " --" in name}
    assert with_json == SHAPES.keys() - of_options.keys()
    for commands, _, option in of_options.values():
        for command in commands.split(", "):
            (section,) = [section for section in sections if section.startswith(f"{command}\n")]
            assert f"`{option}`" in section
