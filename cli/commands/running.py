"""Commands that run something until it ends, or is told to: a study here, or one of the fleet's processes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.completion import kinds as job_kinds
from cli.errors import ExitCode
from cli.interrupts import Interrupts
from cli.options import (
    DEFAULT_HOME,
    DEFAULT_URL,
    Config,
    Database,
    Home,
    JsonLines,
    PrintConfig,
    StudyFile,
    Supervised,
    Url,
    given,
)
from cli.resuming import stopped

CACHE_VARIABLE = "STILLHOUSE_CACHE_GB"


def run(
    study_file: StudyFile,
    home: Home = DEFAULT_HOME,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the service; 0 for any free one.")] = 8787,
    hold: Annotated[
        bool | None, typer.Option("--hold/--no-hold", help="Keep the page up at the end; on a terminal by default.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Start a new study if the name is taken.")] = False,
    as_json: JsonLines = False,
) -> None:
    """Run a study on this machine from its file to its checkpoints; the same command continues it."""
    home = home.absolute()
    interrupts = Interrupts()
    try:
        from cli.display import make_console
        from cli.run import RunOptions
        from cli.run import run as run_study

        console = make_console(stderr=as_json)
        hold = console.is_terminal and not as_json if hold is None else hold
        options = RunOptions(study_file=study_file, home=home, port=port, hold=hold, again=again, as_json=as_json)
        raise typer.Exit(run_study(options, console, interrupts))
    except KeyboardInterrupt:
        print(stopped(study_file, home, again=again), file=sys.stderr if as_json else sys.stdout)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


def serve(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback only with an administrator's token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8787,
    database_url: Database = None,
    config: Config = None,
    print_config: PrintConfig = False,
    suggester: Annotated[bool, typer.Option("--suggester/--no-suggester", help="Suggest trials, too.")] = True,
    as_json: JsonLines = False,
    supervised: Supervised = False,
) -> None:
    """Run the service: API, dashboard and suggester."""
    from cli.serving import run_service

    run_service(
        given(context, home=home.absolute(), host=host, port=port, database_url=database_url),
        config=config,
        with_suggester=suggester,
        supervised=supervised,
        print_config=print_config,
        as_json=as_json,
    )


def suggest(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
    config: Config = None,
    supervised: Supervised = False,
) -> None:
    """Run a suggester: it chooses the next trials of every running study."""
    from cli.processes import run_suggester

    settings = given(context, home=home.absolute(), database_url=database_url)
    raise typer.Exit(run_suggester(settings, config=config, supervised=supervised))


def worker(
    context: typer.Context,
    url: Url = DEFAULT_URL,
    home: Home = DEFAULT_HOME,
    name: Annotated[str | None, typer.Option(help="Name of this worker; host and process by default.")] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Kind of job to take (repeat it); all by default.", autocompletion=job_kinds),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads of training; 0 for every core.")] = 0,
    cache_gb: Annotated[
        float,
        typer.Option(min=0, envvar=CACHE_VARIABLE, help="Gigabytes of teachers' outputs to keep; 0 for none."),
    ] = 4.0,
    config: Config = None,
    print_config: PrintConfig = False,
    as_json: JsonLines = False,
    supervised: Supervised = False,
) -> None:
    """Run a worker: it does the jobs of the service at URL, which lets it in by the token in STILLHOUSE_TOKEN."""
    from cli.processes import run_worker

    settings = given(
        context,
        url=url,
        home=home.absolute(),
        name=name,
        kinds=tuple(kinds or ()),
        threads=threads,
        cache_gb=cache_gb,
    )
    code = run_worker(settings, config=config, supervised=supervised, print_config=print_config, as_json=as_json)
    raise typer.Exit(code)
