import subprocess
import sys

import pytest

from search_space import Activation, Architecture, InvalidArchitectureError

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
    architecture = Architecture(**SIZES)
    changed = [
        Architecture.from_dict(architecture.to_dict() | {name: "relu" if name == "activation" else value + 1})
        for name, value in architecture.to_dict().items()
    ]
    assert len({architecture.key, *(other.key for other in changed)}) == 1 + len(changed) == 10


def test_dictionary_and_back_is_the_same_architecture():
    architecture = Architecture(**SIZES, activation=Activation.RELU, token_types=0)
    assert Architecture.from_dict(architecture.to_dict()) == architecture


@pytest.mark.parametrize("value", [0, -1, 2.0, "2", True, None])
@pytest.mark.parametrize("name", SIZES)
def test_a_size_that_is_no_positive_integer_is_refused(name, value):
    with pytest.raises(InvalidArchitectureError, match=f"{name} must be an integer of at least 1, got"):
        Architecture(**SIZES | {name: value})


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
