"""How right an answer is, as SQuAD counts it.

References: arXiv:1606.05250, section 6; arXiv:1806.03822 for questions without an answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """In lower case, without punctuation and articles, words parted by one space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, right: Sequence[str]) -> float:
    """1 where the answer is one of those that are right; none at all is right where there is none."""
    return max(float(normalised(answer) == normalised(one)) for one in _known(right))


def answer_f1(answer: str, right: Sequence[str]) -> float:
    """The F1 of words shared with the answer that it is likest to."""
    return max(_f1(normalised(answer).split(), normalised(one).split()) for one in _known(right))


def _known(right: Sequence[str]) -> Sequence[str]:
    return [one for one in right if normalised(one)] or [""]


def _f1(words: list[str], right: list[str]) -> float:
    if not words or not right:
        return float(words == right)
    shared = (Counter(words) & Counter(right)).total()
    return 2 * shared / (len(words) + len(right))
