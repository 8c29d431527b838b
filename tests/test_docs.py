"""What README.md and docs/ show is so: files are read, commands parsed, links followed.

Python, and the commands that a finished study answers, are run by tests/service/finished/test_snippets.py.
"""

import ast
import importlib
import json
import re
import tomllib
from itertools import pairwise

import jsonschema
import pytest

from cli.reference.settings import ALONE
from protocol.settings_file import settings_file
from protocol.study_file import (
    _Document,
    load_study,
    parse_architecture,
    parse_distillation,
    parse_study,
    parse_target,
)
from protocol.study_schema import distillation_schema, study_schema
from service.api.access import ACCESS
from service.settings import SETTINGS as SERVICE
from service.settings import Settings
from tests.docker.test_images import check
from tests.snippets import ROOT, blocks, commands, pages
from worker.settings import SETTINGS as WORKER
from worker.settings import WorkerSettings

NOT_RUN = [("docs/guides/latency.md", "from encoders.values import Head")]
"""Blocks of Python that nothing runs: it would time the machine."""

SHOWN = {
    (
        "README.md",
        "search_space/   what may be searched: Architecture, dimensions, SearchSpace, presets, costs",
    ): "a tree",
    (
        "docs/architecture.md",
        "cli ──► everything, lazily                        composition roots: cli, service,",
    ): "drawn",
    ("docs/guides/api.md", "id: 42"): "what a stream of events holds",
    ("docs/how-it-works.md", "prepare ──► calibrate ──► suggest ──► measure ──► distil (flash) ──► front"): "drawn",
}
"""Blocks that nobody types or runs, by the beginnings of their first lines."""

PATHS = re.compile(
    r"(?<![\w/.-])(?:benchmarks|examples|docker|docs|tests|cli|client|distillation|encoders|hardware|optimization|protocol"
    r"|search_space|service|worker)/[\w./-]*\.(?:py|md|yaml|ipynb|json)"
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
LEAST = {"teacher": "teacher: built-in\n", "task": "task: {dataset: docstrings}\n"}
SCHEMAS = {"study": study_schema(), "distillation": distillation_schema()}

identified = {"ids": str}


def test_every_block_is_of_a_kind_that_is_looked_at():
    kinds = {block.language for block in blocks()}
    assert kinds <= {"python", "sh", "yaml", "toml", "text"}
    assert {"python", "sh", "yaml", "toml"} <= kinds


def test_every_block_that_is_only_shown_has_its_reason():
    shown = blocks("text")
    for block in shown:
        assert any(page == block.page and block.head.startswith(head) for page, head in SHOWN), str(block)
    for page, head in SHOWN:
        assert any(block.page == page and block.head.startswith(head) for block in shown), f"{page} has no {head!r}"


@pytest.mark.parametrize(("page", "head"), NOT_RUN)
def test_a_block_of_python_that_is_not_run_imports_what_there_is(page, head):
    (block,) = [block for block in blocks("python") if (block.page, block.head) == (page, head)]
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"


def written(text):
    """The block as a whole file: what every file needs and a part of one leaves out, before it."""
    keys = _Document(text, "block", "study").values
    missing = "" if "external" in keys else "".join(line for key, line in LEAST.items() if key not in keys)
    return missing + text, "distillation" if keys.keys() & {"sparsity", "student", "previous"} else "study"


@pytest.mark.parametrize("block", blocks("yaml"), **identified)
def test_a_block_of_yaml_is_a_study_or_a_distillation(block):
    text, what = written(block.text)
    parse = parse_distillation if what == "distillation" else parse_study
    parse(text, origin=str(block), default_name="block")
    jsonschema.Draft202012Validator(SCHEMAS[what]).validate(_Document(text, str(block), what).values)


@pytest.mark.parametrize("block", blocks("toml"), **identified)
def test_a_block_of_toml_is_a_file_of_settings(block, tmp_path):
    path = tmp_path / "stillhouse.toml"
    path.write_text(block.text)
    tables = settings_file(path, {}, tmp_path).tables
    assert tables == tomllib.loads(block.text)
    Settings.of(Settings.found({}, config=path))
    WorkerSettings.of(WorkerSettings.found({}, config=path))


@pytest.mark.parametrize("block", blocks("sh"), **identified)
def test_every_command_is_one_that_there_is(block):
    found = commands(block.text)
    assert found
    for words in found:
        CHECKS[words[0]](words)


def check_stillhouse(words):
    """Also of the form `[--option VALUE]... a|b`, as synopses have it."""
    plain = [re.sub(r"[\[\]]|\.\.\.(?=\]|$)", "", word).split("|")[0] for word in words[1:]]
    check(plain)
    for option, value in pairwise(plain):
        if option == "--target" and "=" in value:
            parse_target(value, origin="docs")
        if option == "--architecture" and value.startswith("{"):
            parse_architecture(value, origin="docs")


def check_make(words):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words[1] in targets, words


def check_export(words):
    name = words[1].partition("=")[0]
    assert name in {*ALONE, *(setting.variable for setting in (*SERVICE, *WORKER))}, words


def check_docker(words):
    """Of `docker compose -f FILE`, and what it runs in a container of ours."""
    assert words[1:3] == ["compose", "-f"]
    assert (ROOT / words[3]).is_file(), words
    if words[4:7] == ["run", "--rm", "migration"]:
        check(words[7:])
    else:
        assert words[4] == "up"


def check_curl(words):
    """That there is this route, and that what is sent is JSON."""
    (url,) = [word for word in words if "/v1/" in word]
    path = url[url.index("/v1/") :].partition("?")[0]
    method = "POST" if "-d" in words else "GET"
    routes = [re.sub(r"\{\w+\}", "[^/]+", route) for route in ACCESS]
    assert any(re.fullmatch(route, f"{method} {path}") for route in routes), words
    if method == "POST":
        json.loads(words[words.index("-d") + 1])


def check_file(words):
    assert (ROOT / words[1]).is_file(), words


CHECKS = {
    "stillhouse": check_stillhouse,
    "make": check_make,
    "export": check_export,
    "docker": check_docker,
    "curl": check_curl,
    "cp": check_file,
    "python": check_file,
    "git": lambda words: None if words[1] == "clone" else pytest.fail(" ".join(words)),
    "cd": lambda words: None,
    "sed": lambda words: None,  # run with the commands around it
    "source": lambda words: None if words[1:] == [".venv/bin/activate"] else pytest.fail(" ".join(words)),
}


def test_the_study_of_the_tutorial_is_the_demo():
    (block,) = [block for block in blocks("yaml") if block.page == "docs/tutorial.md"]
    told = parse_study(block.text, origin="tutorial", default_name="demo")
    assert told == load_study(ROOT / "examples" / "demo.yaml")


def test_the_tree_has_every_folder():
    (tree,) = [block for block in blocks("text") if block.head.startswith("search_space/")]
    for line in tree.text.splitlines():
        assert (ROOT / line.split()[0]).is_dir(), line


def anchors(text):
    """Of a page's headings, as Markdown is shown on the web."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_path_leads_somewhere(page):
    text = page.read_text()
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), link
    for path in PATHS.findall(text):
        assert (ROOT / path).exists() or (page.parent / path).exists(), path


def test_benchmarks_are_called_with_options_that_they_have():
    called = [
        line for page in pages() for line in re.findall(r"^ +python (benchmarks/.*)$", page.read_text(), re.MULTILINE)
    ]
    assert called
    for script, *words in map(str.split, called):
        text = (ROOT / script).read_text()
        shared = set(re.findall(r"^from cells\.(\w+) import .*\bparser_of\b", text, re.MULTILINE))
        text += "".join((ROOT / "benchmarks" / "cells" / f"{name}.py").read_text() for name in shared)
        for option in words:
            assert not option.startswith("--") or f'"{option}"' in text, f"{script} {option}"


def test_the_index_leads_to_every_page():
    index = ROOT / "docs" / "README.md"
    led = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    folders = {path for path in led if path.is_dir()}
    for page in pages():
        assert page == index or page in led or page.parent in folders, f"docs/README.md does not lead to {page}"
