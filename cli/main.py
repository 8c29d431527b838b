"""The `stillhouse` command: every command by its name. Whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from cli.commands import machine, models, operating, planning, running, studying, tokens
from cli.errors import CliError, ExitCode
from cli.helping import Command, Group, print_version

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What may befall every command that writes, its stdout too."""

Commands = Mapping[str, Callable[..., None]]

COMMANDS: Commands = {
    "run": running.run,
    "serve": running.serve,
    "suggest": running.suggest,
    "worker": running.worker,
    "front": studying.front,
    "preview": planning.preview,
    "calibrate": planning.calibrate,
    "distill": models.distill,
    "reproduce": models.reproduce,
    "measure": models.measure,
    "export": models.export,
    "doctor": machine.doctor,
    "migrate": operating.migrate,
    "backup": operating.backup,
    "restore": operating.restore,
}
STUDY: Commands = {
    "create": studying.study_create,
    "list": studying.study_list,
    "show": studying.study_show,
    "watch": studying.study_watch,
    "stop": studying.study_stop,
    "resume": studying.study_resume,
    "extend": studying.study_extend,
    "delete": studying.study_delete,
    "export": studying.study_export,
    "report": studying.study_report,
    "schema": studying.study_schema,
}
TRIAL: Commands = {"show": studying.trial_show}
TOKEN: Commands = {
    "create": tokens.create,
    "list": tokens.list_all,
    "revoke": tokens.revoke,
}
GROUPS: Mapping[str, tuple[str, Commands]] = {
    "study": ("Studies of a running service, and what their files may say.", STUDY),
    "trial": ("Trials of a running service.", TRIAL),
    "token": ("Access tokens of the home's service.", TOKEN),
}


def _group(help_text: str, commands: Commands, *, name: str | None = None) -> typer.Typer:
    made = typer.Typer(
        name=name,
        cls=Group,
        help=help_text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for command_name, command in commands.items():
        made.command(command_name, cls=Command)(command)
    return made


app = _group("Finds and trains the best small language model for a given device.", COMMANDS, name="stillhouse")
for _name, (_help, _commands) in GROUPS.items():
    app.add_typer(_group(_help, _commands), name=_name)


@app.callback()
def stillhouse(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """What stands before a command's name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed, 2 bad input; the others are `ExitCode`."""
    # JAX only writes programs here, for which it would take an accelerator, or the lock of the TPU's library, from the
    # processes that measure. Those choose their own platform.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="stillhouse")
    except Exception as error:  # the edge of the program
        code = _exit_code(error)
        if code is None:
            raise
        print(f"stillhouse: {error}{_hint(error)}", file=sys.stderr)
        sys.exit(code)


def _exit_code(error: Exception) -> ExitCode | None:
    """None for what nobody has foreseen."""
    if isinstance(error, CliError):
        return error.code
    # Only now: --help must not wait for an HTTP client.
    from client.errors import ClientError, InvalidAddress, InvalidArgument, InvalidToken, ProblemError

    if isinstance(error, InvalidAddress | InvalidArgument | InvalidToken):
        return ExitCode.BAD_INPUT
    if isinstance(error, ProblemError) and 400 <= error.problem.status < 500:
        return ExitCode.BAD_INPUT
    from hardware.values import HardwareError

    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return ExitCode.FAILED
    return ExitCode.FAILED if isinstance(error, ClientError | HardwareError) else None


def _hint(error: Exception) -> str:
    return "; the service speaks http://, not https://" if "[SSL: WRONG_VERSION_NUMBER]" in str(error) else ""


if __name__ == "__main__":
    main()
