"""Targets and architectures outside a study."""

import json
from dataclasses import replace

import pytest

from hardware.values import DeviceProfile, Dtype, Runtime
from protocol.errors import StudyFileError
from protocol.study_file import load_architecture, load_target, parse_architecture, parse_target
from search_space import KNOWN, Pooler


def test_a_target_is_told_in_the_words_of_a_study(tmp_path):
    words = "device=cuda, runtime=jax,dtype=bfloat16,batch=8,length=64,threads=2"
    expected = DeviceProfile(device="cuda", runtime=Runtime.JAX, dtype=Dtype.BFLOAT16, batch=8, length=64, threads=2)
    assert parse_target(words, origin="--target") == expected
    assert parse_target("", origin="--target") == DeviceProfile()
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: any\nteacher: nobody\ntarget: {device: cuda, runtime: jax, dtype: bfloat16, batch: 8, length: 64,"
        " threads: 2}\n"
    )
    assert load_target(path) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("device=gpu", "--target: device: must be 'cpu', 'cuda' or 'tpu', got 'gpu'"),
        ("runtime=jux", "did you mean 'jax'?"),
        ("lenght=3", "--target: lenght: unknown key 'lenght'; did you mean 'length'?"),
        ("length=0", "--target: length: must be an integer in 1 ... 100000, got 0"),
        ("length=two", "--target: length: must be a whole number, got 'two'"),
        ("batch=1,batch=2", "--target: 'batch' is given twice"),
        ("cpu", "--target: 'cpu' is no key=value"),
    ],
)
def test_a_wrong_target_is_one_message(words, message):
    with pytest.raises(StudyFileError) as caught:
        parse_target(words, origin="--target")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\ntarget:\n  runtim: jax\n", ":3: target.runtim: unknown key 'runtim'; did you mean 'runtime'?"),
        ("name: x\n", "has no key `target`"),
        ("target: 3\n", ":1: target: must be a mapping"),
        ("", "is empty; a mapping is wanted"),
    ],
)
def test_a_file_with_a_wrong_target_is_told_with_its_line(tmp_path, text, message):
    path = tmp_path / "target.yaml"
    path.write_text(text)
    with pytest.raises(StudyFileError) as caught:
        load_target(path)
    assert f"{path}{message}" in str(caught.value) or message in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_a_shape_leaves_out_is_bert_bases_or_its_models(tmp_path):
    assert parse_architecture("{layers: 12}", origin="-") == replace(KNOWN["bert-base"], pooler=Pooler.NONE)
    path = tmp_path / "shape.json"
    path.write_text('{"model": "mobilebert", "layers": 3, "vocabulary_size": 99, "max_positions": 64}')
    shape = load_architecture(path)
    assert (shape.layers, shape.vocabulary_size, shape.max_positions) == (3, 99, 64)
    assert shape.bottleneck_size == KNOWN["mobilebert"].bottleneck_size
    assert parse_architecture("heads: [2, 1]", origin="-").heads == (2, 1)


def test_an_architecture_as_it_is_shown_is_read_again():
    for architecture in KNOWN.values():
        assert parse_architecture(json.dumps(architecture.to_dict()), origin="-") == architecture


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{layer: 4}", "a:1: layer: unknown key 'layer'; did you mean 'layers'?"),
        ("{layers: 0}", "a:1: layers: must be an integer of at least 1, got 0"),
        ("{attention_input: shared}", "needs a bottleneck_size"),
        ("{layers: 1000000}", "parameters, more than"),
        ("[1]", "must be a mapping"),
        ("{layers: [", "not YAML"),
        ("{model: bert-bse}", "did you mean 'bert-base'?"),
    ],
)
def test_a_wrong_architecture_is_one_message(text, message):
    with pytest.raises(StudyFileError) as caught:
        parse_architecture(text, origin="a")
    assert message in str(caught.value)
