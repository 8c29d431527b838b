"""What `--target` says: words, or a file that has a `target`."""

from __future__ import annotations

from cli.errors import BadInputError
from cli.paths import expanded
from hardware.values import DeviceProfile
from protocol.errors import StudyFileError
from protocol.study_file import load_target, parse_target

YAML = (".yaml", ".yml")


def read_target(text: str) -> DeviceProfile:
    """`device=cpu,batch=8`, or a study file's target.

    Raises:
        BadInputError: every problem with its key.
    """
    try:
        path = expanded(text)
        is_file = path.suffix.lower() in YAML or path.is_file()
        return load_target(path) if is_file else parse_target(text, origin="--target")
    except StudyFileError as error:
        raise BadInputError(str(error)) from error
