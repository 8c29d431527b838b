from dataclasses import replace

import pytest

from search_space import (
    KNOWN,
    PRESETS,
    Architecture,
    AttentionInput,
    Pooler,
    SearchSpaceError,
    parameter_count,
    preset,
)


def autodistill(hidden_size: int, bottleneck_size: int, ffn_size: int, ffn_stacks: int, heads: int = 4) -> Architecture:
    return replace(
        KNOWN["mobilebert"],
        hidden_size=hidden_size,
        bottleneck_size=bottleneck_size,
        heads=heads,
        head_size=bottleneck_size // heads,
        ffn_size=ffn_size,
        ffn_stacks=ffn_stacks,
        attention_input=AttentionInput.INPUT,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_points_and_is_made_once(name):
    assert preset(name).size > 50
    assert preset(name) is preset(name)


def test_bert_preset_holds_the_well_known_plain_shapes():
    for name in ("tinybert-4", "tinybert-6", "minilm-6x384", "minilm-12x384", "bert-base"):
        assert replace(KNOWN[name], pooler=Pooler.NONE) in preset("bert")


def test_autodistill_has_the_576_points_of_its_grid():
    space = preset("autodistill")
    assert space.size == space.grid_points == 576
    expected = {
        autodistill(hidden, bottleneck, ffn, stacks, heads)
        for hidden in (128, 256, 384, 512)
        for bottleneck in (64, 96, 128, 160)
        for heads in (1, 2, 4, 8)
        for ffn in (384, 512, 640)
        for stacks in (2, 4, 6)
    }
    assert set(space.architectures(range(576))) == expected


@pytest.mark.parametrize(
    ("sizes", "millions"),
    [
        ((512, 128, 512, 4), 25.359),  # MobileBERT
        ((512, 128, 640, 4), 28.517),
        ((512, 128, 640, 2), 20.604),
        ((512, 160, 512, 2), 22.796),
    ],
)
def test_autodistills_own_models_are_in_it_at_their_size(sizes, millions):
    assert autodistill(*sizes) in preset("autodistill")
    assert round(parameter_count(autodistill(*sizes)) / 1e6, 3) == millions


def test_the_shared_grid_holds_hugging_faces_mobilebert_and_nothing_of_the_other():
    shared = preset("autodistill-shared")
    assert shared.size == 576
    assert KNOWN["mobilebert"] in shared
    assert KNOWN["mobilebert"] not in preset("autodistill")
    assert set(shared.columns["attention_input"].tolist()) == {1}


def test_the_deep_grid_is_the_same_at_every_depth():
    deep = preset("autodistill-deep")
    assert deep.size == 24 * 576
    assert all(replace(autodistill(256, 96, 384, 2), layers=layers) in deep for layers in (1, 11, 24))


def test_minilm_and_tinybert_hold_their_namesakes_and_keep_their_ratios():
    for name, space in {"minilm-6x384": "minilm", "minilm-12x384": "minilm", "tinybert-4": "tinybert"}.items():
        assert replace(KNOWN[name], pooler=Pooler.NONE) in preset(space)
    assert replace(KNOWN["tinybert-6"], pooler=Pooler.NONE) in preset("tinybert")
    minilm = preset("minilm").columns
    assert set((minilm["ffn_size"] / minilm["hidden_size"]).tolist()) == {4}
    assert set(minilm["head_size"].tolist()) == {32, 64}


def test_unknown_preset_suggests_the_nearest():
    with pytest.raises(
        SearchSpaceError, match=r"unknown search space 'berd' \(did you mean 'bert'\?\); known are bert"
    ):
        preset("berd")
    with pytest.raises(SearchSpaceError, match=r"did you mean 'autodistill'\?"):
        preset("auto-distil")
    with pytest.raises(SearchSpaceError, match="unknown search space 'zoo'; known are bert"):
        preset("zoo")
