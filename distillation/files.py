"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from distillation.errors import SaveError


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` to write into; it takes the place of `target` when the block ends.

    When the block raises, `target` is as it was.

    Raises:
        SaveError: what the operating system, or a library that wraps it, said while writing.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial"))
    except OSError as error:
        raise _save_error(target, error) from error
    try:
        # mkdtemp's own mode hides the folder from everybody else.
        temporary.chmod(0o755)
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    except SaveError:
        raise
    except (OSError, SafetensorError) as error:
        raise _save_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Equal values give equal bytes."""
    path.write_text(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _save_error(target: Path, error: OSError | SafetensorError) -> SaveError:
    reason = getattr(error, "strerror", None) or str(error)
    saved = SaveError(f"cannot write {target}: {reason}; nothing was left behind")
    saved.errno = getattr(error, "errno", None)
    return saved
