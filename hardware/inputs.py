"""The inputs of a measurement: the same ones for every runtime."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from encoders.values import Head, HeadKind
from hardware.backend import INPUTS
from hardware.values import DeviceProfile
from search_space import Architecture


def token_ids(architecture: Architecture, profile: DeviceProfile, seed: int) -> list[npt.NDArray[np.int64]]:
    """`INPUTS` batches (B, L) of random ids, of full length: padding is work that a caller pays for too."""
    generator = np.random.default_rng(seed)
    shape_BL = (profile.batch, profile.length)
    return [generator.integers(architecture.vocabulary_size, size=shape_BL, dtype=np.int64) for _ in range(INPUTS)]


def output_names(head: Head) -> tuple[str, ...]:
    """What of a model's outputs is its answer."""
    return ("start_logits", "end_logits") if head.kind is HeadKind.QUESTION_ANSWERING else ("logits",)
