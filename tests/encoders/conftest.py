"""Small encoders and a tokenizer for this room's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast

from search_space import Architecture

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def architecture() -> Architecture:
    """Heads that together are wider than the hidden size, and sizes that are all different."""
    return Architecture(
        vocabulary_size=60, layers=3, hidden_size=24, heads=4, head_size=7, ffn_size=40, max_positions=20
    )


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {token: place for place, token in enumerate([*SPECIAL, *letters, *(f"##{x}" for x in letters)])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


@pytest.fixture
def scramble() -> Callable[[nn.Module], None]:
    """Gives every weight, norms and biases too, a value that a wrong assignment would show."""

    def scrambled(module: nn.Module) -> None:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))

    return scrambled


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A limit on the size of files: inside of it, what writes more fails as on a full disk."""
    import resource
    import signal

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            # Before the test ends: pytest's own output may go to a file that is larger.
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)

    return limited
