"""Commands that run something until it ends, or is told to: a study here, or one of the fleet's processes."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.errors import ExitCode
from cli.interrupts import Interrupts
from cli.options import DEFAULT_HOME, DEFAULT_URL, Database, Home, StudyFile, Supervised, Url
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
) -> None:
    """Run a study on this machine from its file to its checkpoints; the same command continues it."""
    home = home.expanduser().absolute()
    interrupts = Interrupts()
    try:
        from cli.display import make_console
        from cli.run import RunOptions
        from cli.run import run as run_study

        console = make_console()
        hold = console.is_terminal if hold is None else hold
        options = RunOptions(study_file=study_file, home=home, port=port, hold=hold, again=again)
        raise typer.Exit(run_study(options, console, interrupts))
    except KeyboardInterrupt:
        print(stopped(study_file, home, again=again))
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


def serve(
    home: Home = DEFAULT_HOME,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8787,
    database_url: Database = None,
    suggester: Annotated[bool, typer.Option("--suggester/--no-suggester", help="Suggest trials, too.")] = True,
    supervised: Supervised = False,
) -> None:
    """Run the service: API, dashboard and suggester."""
    from cli.serving import run_service

    run_service(
        home.expanduser().absolute(),
        host=host,
        port=port,
        database_url=database_url,
        with_suggester=suggester,
        supervised=supervised,
    )


def suggest(
    home: Home = DEFAULT_HOME,
    database_url: Database = None,
    supervised: Supervised = False,
) -> None:
    """Run a suggester: it chooses the next trials of every running study."""
    from cli.processes import run_suggester

    raise typer.Exit(run_suggester(home.expanduser().absolute(), database_url=database_url, supervised=supervised))


def worker(
    url: Url = DEFAULT_URL,
    home: Home = DEFAULT_HOME,
    name: Annotated[str | None, typer.Option(help="Name of this worker; host and process by default.")] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="Kind of job to take (repeat it); all by default.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads of training; 0 for every core.")] = 0,
    cache_gb: Annotated[
        float,
        typer.Option(min=0, envvar=CACHE_VARIABLE, help="Gigabytes of teachers' outputs to keep; 0 for none."),
    ] = 4.0,
    supervised: Supervised = False,
) -> None:
    """Run a worker: it does the jobs of the service at URL."""
    from cli.processes import run_worker
    from protocol.jobs import JobKind

    known = [str(kind) for kind in JobKind]
    for kind in kinds or ():
        if kind not in known:
            raise typer.BadParameter(f"unknown kind of job {kind!r}; known are {', '.join(known)}")
    raise typer.Exit(
        run_worker(
            url,
            home.expanduser().absolute(),
            name=name,
            kinds=tuple(JobKind(kind) for kind in kinds or ()),
            threads=threads,
            cache_bytes=round(1e9 * cache_gb),
            supervised=supervised,
        )
    )
