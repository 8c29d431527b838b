import json
import subprocess
import sys
from dataclasses import fields

import pytest

from search_space import KNOWN, Activation, Architecture, InvalidArchitectureError, Norm

SIZES = {
    "vocabulary_size": 30_522,
    "layers": 12,
    "hidden_size": 768,
    "heads": 12,
    "head_size": 64,
    "ffn_size": 3072,
}


def test_key_of_bert_base_is_what_it_always_was():
    """Stored studies find their trials by this key: if this fails, they no longer do."""
    assert Architecture(**SIZES).key == "e065a7c1e605ffc2"


def test_key_is_the_same_in_another_process():
    code = f"from search_space import Architecture; print(Architecture(**{SIZES}).key)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == Architecture(**SIZES).key


def test_every_field_changes_the_key():
    changes = [
        *({name: value + 1} for name, value in SIZES.items()),
        *({"max_positions": 9}, {"token_types": 0}, {"ffn_stacks": 2}, {"bottleneck_size": 9}, {"embedding_size": 9}),
        *({"activation": "relu"}, {"norm": "no_norm"}, {"pooler": "tanh"}, {"trigram": True}),
        *({"bottleneck_size": 9, "attention_input": "shared"}, {"bottleneck_size": 9, "attention_input": "bottleneck"}),
        *({"heads": (12,) * 11 + (6,)}, {"heads": (6,) + (12,) * 11}, {"ffn_size": (0,) + (3072,) * 11}),
    ]
    assert len({Architecture(**SIZES | change).key for change in [{}, *changes]}) == 1 + len(changes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"heads": [12] * 12}, {"heads": 12}),
        ({"embedding_size": 768}, {"embedding_size": 0}),
        ({"norm": "layer_norm"}, {"norm": Norm.LAYER_NORM}),
        ({"ffn_size": [*range(1, 13)]}, {"ffn_size": tuple(range(1, 13))}),
        ({"heads": 0, "head_size": 9}, {"heads": (0,) * 12}),
        ({"heads": 0, "bottleneck_size": 9, "attention_input": "shared"}, {"heads": 0, "bottleneck_size": 9}),
    ],
)
def test_equal_meaning_is_one_value_with_one_key(one, other):
    first, second = Architecture(**SIZES | one), Architecture(**SIZES | other)
    assert first == second
    assert (hash(first), first.key) == (hash(second), second.key)


def test_dictionary_and_back_is_the_same_architecture():
    changes = {"activation": Activation.RELU, "token_types": 0, "heads": (*range(12),), "trigram": True}
    architecture = Architecture(**SIZES | changes)
    assert Architecture.from_dict(json.loads(json.dumps(architecture.to_dict()))) == architecture


def test_what_was_checked_elsewhere_is_the_same_architecture():
    architecture = KNOWN["mobilebert"]
    again = Architecture.of_valid(getattr(architecture, field.name) for field in fields(Architecture))
    assert again == architecture
    assert (again.key, again.label, repr(again)) == (architecture.key, architecture.label, repr(architecture))


@pytest.mark.parametrize("value", [-1, 2.0, "2", True, None])
@pytest.mark.parametrize("name", [*SIZES, "ffn_stacks", "max_positions", "bottleneck_size", "embedding_size"])
def test_a_size_that_is_no_positive_integer_is_refused(name, value):
    with pytest.raises(InvalidArchitectureError, match=f"{name} must be an integer of at least [01], got"):
        Architecture(**SIZES | {name: value})


@pytest.mark.parametrize("name", ["vocabulary_size", "layers", "hidden_size", "head_size", "ffn_stacks"])
def test_a_size_that_every_encoder_has_is_not_zero(name):
    with pytest.raises(InvalidArchitectureError, match=f"{name} must be an integer of at least 1, got 0"):
        Architecture(**SIZES | {name: 0})


def test_sizes_of_layers_are_as_many_as_the_layers():
    sliced = Architecture(**SIZES | {"layers": 2, "heads": (0, 3), "ffn_size": (5, 0)})
    assert (sliced.heads_by_layer, sliced.ffn_sizes_by_layer, sliced.is_uniform) == ((0, 3), (5, 0), False)
    assert sliced.label == "2x768 a0..3x64 f0..5"
    with pytest.raises(InvalidArchitectureError, match="heads must be one size, or one for each of 12 layers, got"):
        Architecture(**SIZES | {"heads": (1, 2)})


def test_attention_cannot_read_a_bottleneck_that_is_not_there():
    with pytest.raises(InvalidArchitectureError, match="attention_input 'shared' needs a bottleneck_size"):
        Architecture(**SIZES, attention_input="shared")


def test_a_label_names_what_is_not_plain():
    assert KNOWN["mobilebert"].label == "24x512/128 a4x32 f4x512"
    assert Architecture(**SIZES).label == "12x768 a12x64 f3072"


def test_token_types_may_be_absent_but_not_negative():
    assert Architecture(**SIZES, token_types=0).token_types == 0
    with pytest.raises(InvalidArchitectureError, match="token_types must be an integer of at least 0, got -1"):
        Architecture(**SIZES, token_types=-1)


def test_unknown_activation_names_the_known_ones():
    with pytest.raises(InvalidArchitectureError, match="activation must be one of gelu, relu, got 'tanh'"):
        Architecture(**SIZES, activation="tanh")


@pytest.mark.parametrize("change", [{"depth": 3}, {"layers": "many"}])
def test_a_dictionary_that_is_no_architecture_is_refused(change):
    with pytest.raises(InvalidArchitectureError, match=next(iter(change))):
        Architecture.from_dict(SIZES | change)
