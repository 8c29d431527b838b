"""What a shell is offered for a word that only the service knows."""

from __future__ import annotations

import os
from collections.abc import Sequence


def study_names(incomplete: str) -> Sequence[str]:
    """The studies whose names begin so; none where no service answers at once."""
    from cli.options import DEFAULT_URL, URL_VARIABLE
    from client import Client, ClientError

    try:
        with Client(os.environ.get(URL_VARIABLE) or DEFAULT_URL, patience_s=0) as client:
            return [study.name for study in client.studies.list() if study.name.startswith(incomplete)]
    except ClientError:
        return []
