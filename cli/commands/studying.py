"""Commands that ask a running service about its studies."""

from __future__ import annotations

from cli.options import DEFAULT_URL, Json, Name, StudyFile, Url


def study_create(study_file: StudyFile, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Start the study of a file at a running service."""
    from cli import reading

    reading.create(url, study_file, as_json=as_json)


def study_list(url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """List the studies."""
    from cli import reading

    reading.list_studies(url, as_json=as_json)


def study_show(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show a study and its trials."""
    from cli import reading

    reading.show(url, name, as_json=as_json)


def front(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show the front of a study."""
    from cli import reading

    reading.front(url, name, as_json=as_json)
