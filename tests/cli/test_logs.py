import json
import logging
import sys

import pytest

from cli.errors import BadInputError
from cli.logs import JsonLines, TextLines, log_to_stderr
from protocol.log_fields import about, fields_now, learned


def record(message="leased", exc_info=None):
    return logging.LogRecord("worker.loop", logging.INFO, __file__, 1, message, None, exc_info)


def test_a_line_says_what_it_is_about():
    with about(study="demo", trial=None, job=3):
        learned(attempt=2)
        line = json.loads(JsonLines().format(record()))
        text = TextLines().format(record())
    assert {name: line[name] for name in ("level", "logger", "message", "study", "job", "attempt")} == {
        "level": "info",
        "logger": "worker.loop",
        "message": "leased",
        "study": "demo",
        "job": 3,
        "attempt": 2,
    }
    assert "trial" not in line
    assert line["time"].endswith("+00:00")
    assert text.endswith("INFO worker.loop: leased [study=demo job=3 attempt=2]")
    assert fields_now() == {}


def test_an_exception_is_one_line_of_json():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        line = JsonLines().format(record(exc_info=sys.exc_info()))
    assert "\n" not in line
    assert "two\nlines" in json.loads(line)["exception"]


def test_unknown_format_is_refused():
    with pytest.raises(BadInputError, match="STILLHOUSE_LOG_FORMAT: must be text or json, got 'xml'"):
        log_to_stderr({"STILLHOUSE_LOG_FORMAT": "xml"})
