import pytest

from search_space import Architecture, SearchSpaceError, preset


def test_bert_preset_holds_the_well_known_plain_shapes():
    sizes = {"tinybert4": (4, 312, 12, 1200), "minilm": (6, 384, 12, 1536), "bert-base": (12, 768, 12, 3072)}
    for layers, hidden_size, heads, ffn_size in sizes.values():
        shape = Architecture(
            vocabulary_size=30_522,
            layers=layers,
            hidden_size=hidden_size,
            heads=heads,
            head_size=hidden_size // heads,
            ffn_size=ffn_size,
        )
        assert shape in preset("bert")


def test_unknown_preset_suggests_the_nearest():
    with pytest.raises(
        SearchSpaceError, match=r"unknown search space 'berd' \(did you mean 'bert'\?\); known are bert"
    ):
        preset("berd")
    with pytest.raises(SearchSpaceError, match="unknown search space 'moon'; known are bert"):
        preset("moon")
