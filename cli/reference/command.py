"""The command's reference, from the command itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from cli.errors import ExitCode
from cli.main import app
from cli.reference.markdown import code, table

SHAPES = {
    "doctor": "`{versions, machine, devices, runtimes, extras, home, service, ok, problems}`",
    "run": "lines `{event, at, ...}`: `started {study, address}`, `study {study: StudyView}` and"
    " `trial {trial: TrialView}` at each change, `note {message}`, `completed {study, folders: {TRIAL: PATH}}`",
    "serve": "lines `{event, at, ...}`: `listening {address}`, `note {message}`, `ended`",
    "worker": "lines `{event, at, ...}`: `started {worker, url, kinds, targets}`,"
    " `job {job, attempt, kind, study, trial}`, `job_ended {the same, ending}`, `note {message}`, `ended {worker}`",
    "serve, worker --print-config": "`{SETTING: {value, source}}`",
    "study create": "StudyView",
    "study list": "array of StudyView, the newest first",
    "study show": "`{study: StudyView, trials: [TrialView]}`",
    "study watch": "StudyView, one line for each change",
    "study stop": "StudyView",
    "study resume": "StudyView",
    "study extend": "StudyView",
    "study delete": "`{deleted: NAME}`",
    "study report": "`{file: PATH}`",
    "front": "`{front: FrontView, trials: [TrialView]}`",
    "trial show": "TrialView",
    "token create": "TokenView, and `token` itself, this once",
    "token list": "array of TokenView",
    "token revoke": "TokenView",
    "preview": "`{study: the file with its defaults, preview: PreviewView}`",
    "calibrate": "`{file, id, calibration: CalibrationRecord}`",
    "distill": "`{name, folder, architecture, parameters, fidelity, steps, seconds, metric, selection, report, curve,"
    " teacher, baselines, assistance, notes}`",
    "reproduce": "`{reproduced, weights_equal, metrics_equal, within_interval, differences,"
    " metrics: {SPLIT: {then, low, high, now}}}`",
    "measure": "`{model, targets: [{target, cells: [{profile, measurement, reason, left_out}], lengths, expected}]}`",
    "export": "`{folders: {TRIAL: PATH}}` of a study, `{folder, notes}` of a checkpoint",
    "backup": "`{folder, format, stillhouse, revision, taken_at, tables: {TABLE: {rows, ...}}, artefacts,"
    " artefact_bytes}`",
    "restore": "the same",
    "migrate": "`{database, up_to_date}`",
}
"""What `--json` prints; views are those of the API (`/v1/openapi.json`)."""

WITHOUT = {
    "suggest": "it has nothing to tell but its log; what it suggested is an event of the study",
    "study schema": "it prints JSON anyway",
    "study export": "it has `--format json`",
}
"""Commands that have no `--json`, and why."""

HEAD = """\
# The command `stillhouse`

Written by `python -m cli.reference` from the command itself. `stillhouse COMMAND --help` says the same in a terminal.
What is printed with `--json` goes to stdout as one JSON document, by commands that run for long as one a line; its keys
are those of the API's views and stay; what people may want to know beside it goes to stderr, and so does the message of
an error, beside which stdout stays empty. `stillhouse --version` prints the version; `stillhouse --install-completion`
lets bash, zsh and fish complete commands, options, their values and the names of studies.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    lines = [HEAD, "## Exit codes\n"]
    lines += table(["code", "meaning"], ([str(one.value), one.meaning] for one in ExitCode))
    lines += ["## What `--json` prints\n", *table(["command", "JSON"], SHAPES.items())]
    lines += [f"Without `--json`: {'; '.join(f'`{name}` ({why})' for name, why in WITHOUT.items())}.\n"]
    group: Any = typer.main.get_command(app)
    for name, command in _commands("stillhouse", group):
        lines += _command(name, command)
    return "\n".join(lines).rstrip() + "\n"


def _commands(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(f"{prefix} {name}", command)
        elif not command.hidden:
            yield f"{prefix} {name}", command


def _command(name: str, command: Any) -> Iterator[str]:
    shown = [param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]
    arguments = [param for param in shown if param.param_type_name == "argument"]
    options = [param for param in shown if param.param_type_name == "option"]
    words = [_metavar(param) for param in arguments]
    yield f"## {name}\n"
    yield f"`{' '.join([name, *words])}`\n"
    yield f"{command.help}\n"
    if shown:
        rows = ([code(_written(param)), _help(param), _default(param)] for param in (*arguments, *options))
        yield from table(["written", "meaning", "default"], rows)


def _written(param: Any) -> str:
    if param.param_type_name == "argument":
        return _metavar(param)
    names = " / ".join((*param.opts, *param.secondary_opts))
    return names if param.is_flag else f"{names} {_metavar(param)}"


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _help(param: Any) -> str:
    variable = f" Also `{param.envvar}`." if param.envvar else ""
    return f"{param.help or ''}{variable}"


def _default(param: Any) -> str:
    if param.required:
        return "required"
    default = param.default
    is_told = default is not None and default is not False and not callable(default)
    return code(default) if is_told else ""
