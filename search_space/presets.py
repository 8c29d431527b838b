"""Search spaces with a name."""

from __future__ import annotations

from difflib import get_close_matches

from search_space.dimension import Choice, IntegerRange
from search_space.errors import SearchSpaceError
from search_space.space import SearchSpace

PRESETS = {
    "bert": SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=12),
            "hidden_size": Choice(values=(64, 96, 128, 192, 256, 312, 384, 512, 768)),
            "heads": Choice(values=(1, 2, 3, 4, 6, 8, 12)),
            "ffn_size": Choice(values=(128, 256, 384, 512, 768, 1024, 1200, 1536, 2048, 3072)),
        }
    ),
}
"""`bert`: plain BERT shapes, head size = hidden_size / heads."""


def preset(name: str) -> SearchSpace:
    """The search space of this name.

    Raises:
        SearchSpaceError: unknown name; the message suggests the nearest.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = get_close_matches(name, PRESETS, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    raise SearchSpaceError(f"unknown search space {name!r}{meant}; known are {', '.join(PRESETS)}")
