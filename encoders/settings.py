"""What a `config.json` must hold, whatever its model type, before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from encoders.errors import UnsupportedModelError

Test = Callable[[object], bool]
"""Whether a value can be used."""


def check_settings(values: Mapping[str, Any], source: str, *, with_sizes: bool) -> None:
    """Checks the types of the settings that are read here; `with_sizes` by the names that transformers has for them.

    Raises:
        UnsupportedModelError: names the setting.
    """
    tables = (_SIZES, _OTHERS) if with_sizes else (_OTHERS,)
    for name, (test, wanted) in {name: rule for table in tables for name, rule in table.items()}.items():
        if name in values and not test(values[name]):
            raise UnsupportedModelError(
                f"{source}: cannot read its config.json: {name} must be {wanted}, got {values[name]!r:.60}"
            )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_names(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _are_labels(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and all(
        key.isdecimal() and isinstance(label, str | int) for key, label in value.items()
    )


_SIZES: Mapping[str, tuple[Test, str]] = dict.fromkeys(
    (
        "vocab_size",
        "max_position_embeddings",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "dim",
        "n_layers",
        "n_heads",
        "hidden_dim",
        "embedding_size",
        "true_hidden_size",
        "intra_bottleneck_size",
        "num_feedforward_networks",
    ),
    (_is_size, "a whole number of at least 1"),
)

_OTHERS: Mapping[str, tuple[Test, str]] = {
    "architectures": (_are_names, "a list of names"),
    "id2label": (_are_labels, "a mapping from the numbers of the classes to their names"),
    "label2id": (lambda value: value is None or isinstance(value, dict), "a mapping from the classes to their numbers"),
    "num_labels": (lambda value: value is None or _is_size(value), "a whole number of at least 1"),
}
