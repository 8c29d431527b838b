"""What a checkpoint says of where it comes from: all of it comes back, and what is wrong has a key."""

import json
from dataclasses import dataclass, replace

import pytest

from distillation.assistants.tradeoff import Assistance, Point, Round
from distillation.checkpoint import weights_hash
from distillation.described import UnreadableError, described
from distillation.distil import distil, report
from distillation.presets import PRESETS, recipe
from distillation.provenance import (
    FILE,
    Preparation,
    ProvenanceError,
    file_hash,
    provenance_of,
    read_preparation,
    read_provenance,
    surroundings,
    write_preparation,
    write_provenance,
)
from distillation.recipe import Knowledge, Ramp, Recipe, Stage, Term
from distillation.schedule import Schedule
from distillation.values import Fidelity, Teacher
from search_space import Architecture

PREPARATION = Preparation(teacher=Teacher(model="somewhere/bert", epochs=3), seed=4, threads=1, device="cpu")


@pytest.fixture
def provenance(data, report_data, folder, teacher, shape, tmp_path):
    short = Recipe(steps=4, batch_size=8, max_length=12)
    student = distil(data, teacher, shape(layers=1), short, steps=4, seed=3, folder=tmp_path / "checkpoints")
    return provenance_of(
        student,
        report(student.model, report_data, short),
        name="tiny",
        data=data,
        data_folder=folder,
        preparation=PREPARATION,
        teacher=teacher,
        recipe=short,
        fidelity=Fidelity.FLASH,
        seed=3,
        surroundings=surroundings({"cpu": "a cpu"}, device="cpu"),
    )


def test_all_of_it_comes_back(provenance, data, report_data, teacher, shape, tmp_path):
    write_provenance(provenance, tmp_path)
    assert read_provenance(tmp_path) == provenance
    assert (provenance.architecture, provenance.task) == (shape(layers=1), data.task)
    assert provenance.hashes.data == data.content_hash
    assert provenance.hashes.teacher == weights_hash(teacher)
    assert provenance.hashes.initial != provenance.hashes.final
    assert provenance.report.examples == len(report_data.report.examples)
    assert provenance.curve[-1].step == 4
    assert {"python", "torch", "stillhouse", "accelerate"} <= provenance.surroundings.versions.keys()


def test_equal_values_give_equal_bytes_and_neither_times_nor_scratch_folders(provenance, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_provenance(provenance, tmp_path / name)
    text = (tmp_path / "a" / FILE).read_text()
    assert text == (tmp_path / "b" / FILE).read_text()
    assert "seconds" not in text
    assert str(tmp_path) not in text


def test_the_exported_weights_are_taken_down(provenance, tmp_path):
    assert provenance.hashes.export is None
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_provenance(provenance, tmp_path)
    assert read_provenance(tmp_path).hashes.export == file_hash(tmp_path / "model.safetensors")


def test_weights_that_differ_in_a_bit_have_another_hash(teacher):
    before = weights_hash(teacher)
    next(teacher.parameters()).data.view(-1)[0] += 1e-3
    assert weights_hash(teacher) != before


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_comes_back(provenance, tmp_path, name):
    known = replace(provenance, recipe=recipe(name, steps=7))
    write_provenance(known, tmp_path)
    assert read_provenance(tmp_path) == known


def test_ramps_and_pairs_of_layers_come_back(provenance, tmp_path):
    term = Term(knowledge=Knowledge.HIDDEN_STATES, weight=Ramp(start=1, end=0.5), matching=((3, 0), (1, 1)))
    known = replace(provenance, recipe=Recipe(stages=(Stage(terms=(term,)),)))
    write_provenance(known, tmp_path)
    assert read_provenance(tmp_path) == known


def test_the_whole_curve_of_candidates_comes_back(provenance, tmp_path):
    shapes = [replace(provenance.architecture, heads=heads) for heads in (2, 1, 0)]
    points = tuple(
        Point(sparsity=0.5, architecture=each, share=0.5, selection=provenance.selection, tradeoff=0.9, student=student)
        for each, student in zip(shapes, (None, provenance.selection, None), strict=True)
    )
    assistance = Assistance(
        rounds=(Round(points=points, chosen=1), Round(points=points, chosen=None)), together=tuple(shapes)
    )
    known = replace(
        provenance, assistance=assistance, recipe=replace(provenance.recipe, schedule=Schedule(kind="minidisc"))
    )
    write_provenance(known, tmp_path)
    assert read_provenance(tmp_path) == known


def test_a_teachers_preparation_comes_back(tmp_path):
    write_preparation(PREPARATION, tmp_path)
    assert read_preparation(tmp_path) == PREPARATION
    with pytest.raises(ProvenanceError, match=r"preparation\.json: cannot be read"):
        read_preparation(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("recipe"), "recipe: is missing"),
        (lambda values: values["hashes"].pop("teacher"), "hashes.teacher: is missing"),
        (lambda values: values.update(more=1), "more: is not known"),
        (lambda values: values["recipe"].update(step=1), "recipe.step: is not known"),
        (lambda values: values["recipe"].update(steps="many"), "recipe.steps: must be a whole number, got 'many'"),
        (lambda values: values["recipe"].update(steps=0), "recipe: steps must be at least 1, got 0"),
        (lambda values: values["recipe"]["stages"][0]["terms"][0].update(weight="x"), "recipe.stages.0.terms.0.weight"),
        (lambda values: values.update(fidelity="half"), "fidelity: must be one of flash, full, got 'half'"),
        (lambda values: values.update(steps=True), "steps: must be a whole number, got True"),
        (lambda values: values["architecture"].update(layers=0), "architecture: "),
        (lambda values: values["curve"].append([1]), "curve.1: must be a mapping, got [1]"),
        (lambda values: values.update(curve=3), "curve: must be a list, got 3"),
        (
            lambda values: values["surroundings"]["versions"].update(torch=2),
            "surroundings.versions.torch: must be text",
        ),
        (lambda values: values.update(schema_version=2), "schema_version: must be 1, got 2"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_key(provenance, tmp_path, change, message):
    write_provenance(replace(provenance, curve=provenance.curve[-1:]), tmp_path)
    path = tmp_path / FILE
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(ProvenanceError) as caught:
        read_provenance(tmp_path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read"), ("[]", "must hold a mapping")])
def test_what_is_no_provenance_is_named(tmp_path, text, message):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ProvenanceError, match=message):
        read_provenance(tmp_path)


@dataclass(frozen=True, kw_only=True)
class Thing:
    size: int | tuple[int, ...]
    share: float | None = None


def test_a_union_is_read_by_the_first_that_fits():
    assert described(Thing, {"size": [1, 2]}) == Thing(size=(1, 2))
    assert described(Thing, {"size": 1, "share": 1}).share == 1.0
    with pytest.raises(UnreadableError, match=r"^size\.1: must be a whole number, got 'x'$"):
        described(Thing, {"size": [1, "x"]})
    with pytest.raises(UnreadableError, match=r"^share: must be a number or null, got 'x'$"):
        described(Thing, {"size": 1, "share": "x"})


def test_an_architecture_with_sizes_of_single_layers_comes_back():
    shape = Architecture(vocabulary_size=9, layers=2, hidden_size=8, heads=(1, 2), head_size=4, ffn_size=(8, 16))
    values = json.loads(json.dumps({name: getattr(shape, name) for name in shape.__dataclass_fields__}))
    assert described(Architecture, values) == shape
