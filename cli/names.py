"""Names of studies, as people type them."""

from __future__ import annotations

import re

from cli.errors import BadInputError


def study_name(text: str) -> str:
    """The name, if it can be one.

    Raises:
        BadInputError: no study can have it.
    """
    from protocol.shorthand import NAME_PATTERN  # not while --help is printed

    if re.fullmatch(NAME_PATTERN, text) is None:
        raise BadInputError(
            f"{text!r} is not the name of a study: 1 to 64 of a-z, 0-9, '.', '_' and '-', the first one a letter or a"
            " digit; `stillhouse study list` shows those there are"
        )
    return text
