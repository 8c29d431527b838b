"""The `stillhouse` command. Whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import BadInputError, CliError, ExitCode
from cli.interrupts import Interrupts
from cli.names import study_name
from cli.resuming import stopped

HOME_VARIABLE = "STILLHOUSE_HOME"
URL_VARIABLE = "STILLHOUSE_URL"
CACHE_VARIABLE = "STILLHOUSE_CACHE_GB"
DEFAULT_URL = "http://127.0.0.1:8787"
DEVICES = ("cpu", "cuda")

app = typer.Typer(
    name="stillhouse",
    help="Finds and trains the best small language model for a given device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
studies = typer.Typer(help="Studies of a running service.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(studies, name="study")
tokens = typer.Typer(help="Access tokens of the home's service.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tokens, name="token")


def _folder(text: str | Path) -> Path:
    if not str(text):
        raise typer.BadParameter("it is empty; name a folder, '.' for this one")
    return Path(text)


StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.", show_default=False)]
Name = Annotated[
    str, typer.Argument(metavar="STUDY", help="The study's name.", show_default=False, callback=study_name)
]
Home = Annotated[
    Path,
    typer.Option(
        envvar=HOME_VARIABLE,
        parser=_folder,
        metavar="PATH",
        help="Folder of the database, artefacts, exports and logs.",
    ),
]
Url = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="Address of the service.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DatabaseUrl = Annotated[
    str | None, typer.Option(envvar="STILLHOUSE_DATABASE_URL", help="Database; SQLite in the home by default.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Settings in TOML; STILLHOUSE_CONFIG, or stillhouse.toml in the home, by default."
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print every setting and where it is from; start nothing.")
]
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True, help="End when stdin ends.")]
DEFAULT_HOME = Path(".stillhouse")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed, 2 bad input, 130 interrupted."""
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
    from client.errors import ClientError, InvalidAddress, InvalidToken, ProblemError

    if isinstance(error, InvalidAddress | InvalidToken):
        return ExitCode.BAD_INPUT
    if isinstance(error, ProblemError) and 400 <= error.problem.status < 500:
        return ExitCode.BAD_INPUT
    return ExitCode.FAILED if isinstance(error, ClientError) else None


def _hint(error: Exception) -> str:
    return "; the service speaks http://, not https://" if "[SSL: WRONG_VERSION_NUMBER]" in str(error) else ""


@app.command()
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


@app.command()
def distill(
    recipe_file: Annotated[
        Path, typer.Argument(metavar="RECIPE.yaml", help="The distillation's file.", show_default=False)
    ],
    home: Home = DEFAULT_HOME,
    output: Annotated[
        Path | None,
        typer.Option(parser=_folder, metavar="PATH", help="Folder of the checkpoint; distilled/NAME in the home."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Threads of training; 0 for every core.")] = 0,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that train it: one for each GPU, or so many on the CPU.")
    ] = 1,
    flash: Annotated[bool, typer.Option("--flash", help="A short distillation, as a study's trials get.")] = False,
    as_json: Json = False,
) -> None:
    """Distil one student without a service, from its file to its checkpoint; the same command continues it."""
    if device not in DEVICES:
        raise typer.BadParameter(f"--device is one of {', '.join(DEVICES)}, got {device!r}")
    from cli.resuming import DistillOptions, stopped_distillation

    options = DistillOptions(
        file=recipe_file,
        home=home.expanduser().absolute(),
        output=None if output is None else output.expanduser().absolute(),
        device=device,
        threads=threads,
        flash=flash,
        processes=processes,
    )
    interrupts = Interrupts()
    try:
        from cli.distilling import distill as distill_student

        raise typer.Exit(distill_student(options, interrupts, as_json=as_json))
    except KeyboardInterrupt:
        print(stopped_distillation(options), file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


@app.command()
def reproduce(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="Folder of a checkpoint with its provenance.", show_default=False),
    ],
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Distil a checkpoint again from its provenance and compare: 0 reproduced, 1 not."""
    interrupts = Interrupts()
    try:
        from cli.reproducing import reproduce as reproduce_checkpoint

        home = home.expanduser().absolute()
        raise typer.Exit(reproduce_checkpoint(checkpoint.expanduser(), home, interrupts, as_json=as_json))
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


@app.command()
def measure(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Folder of a checkpoint, ours or Hugging Face's, a hub's id, or a known name such as bert-base.",
            show_default=False,
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="device=cpu,runtime=torch,dtype=float32,batch=1,length=128,threads=1, or a YAML file with a `target`"
            " (repeat it).",
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="TEXT|FILE", help="Instead of MODEL: '{layers: 4, hidden_size: 256}', or a file of it."),
    ] = None,
    effort: Annotated[str, typer.Option(help="quick, search or report.")] = "search",
    quantiles: Annotated[
        list[str] | None, typer.Option("--quantile", help="p50, p90 or p99 shall be narrow (repeat it); p50.")
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Batch 1, 8, 32 by length 32, 128, 384.")] = False,
    batches: Annotated[str | None, typer.Option("--grid-batches", help="Other batches of the grid: 1,4.")] = None,
    grid_lengths: Annotated[
        str | None, typer.Option("--grid-lengths", help="Other lengths of the grid: 64,256.")
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(metavar="FILE|DATASET", help="Real texts, whose lengths are bucketed; the buckets are measured."),
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="Column of the texts (twice for pairs); found by default.")
    ] = None,
    buckets: Annotated[str | None, typer.Option(help="Lengths of the buckets; 16,32,64,128,256 by default.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Folder or hub's id of a tokenizer; the model's own.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a .json, with raw samples, or a .csv file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how fast a model is on this machine."""
    interrupts = Interrupts()
    try:
        from cli.measuring import MeasureOptions
        from cli.measuring import measure as measure_model

        options = MeasureOptions(
            model=model,
            architecture=architecture,
            targets=tuple(targets or ()),
            effort=effort,
            quantiles=tuple(quantiles or ()),
            grid=grid,
            batches=batches,
            grid_lengths=grid_lengths,
            lengths=lengths,
            columns=tuple(columns or ()),
            buckets=buckets,
            tokenizer=tokenizer,
            output=None if output is None else output.expanduser(),
        )
        raise typer.Exit(measure_model(options, as_json=as_json))
    except KeyboardInterrupt:
        print("stopped; nothing of it is kept", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


@app.command()
def serve(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback only with a token in the store.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8787,
    database_url: DatabaseUrl = None,
    config: Config = None,
    print_config: PrintConfig = False,
    suggester: Annotated[bool, typer.Option("--suggester/--no-suggester", help="Suggest trials, too.")] = True,
    supervised: Supervised = False,
) -> None:
    """Run the service: API, dashboard and suggester."""
    from cli.serving import run_service

    run_service(
        _given(context, home=home.expanduser().absolute(), host=host, port=port, database_url=database_url),
        config=config,
        with_suggester=suggester,
        supervised=supervised,
        print_config=print_config,
    )


@app.command()
def suggest(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    database_url: DatabaseUrl = None,
    config: Config = None,
    supervised: Supervised = False,
) -> None:
    """Run a suggester: it chooses the next trials of every running study."""
    from cli.processes import run_suggester

    given = _given(context, home=home.expanduser().absolute(), database_url=database_url)
    raise typer.Exit(run_suggester(given, config=config, supervised=supervised))


@app.command()
def worker(
    context: typer.Context,
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
    config: Config = None,
    print_config: PrintConfig = False,
    supervised: Supervised = False,
) -> None:
    """Run a worker: it does the jobs of the service at URL, which lets it in by the token in STILLHOUSE_TOKEN."""
    from cli.processes import run_worker

    given = _given(
        context,
        url=url,
        home=home.expanduser().absolute(),
        name=name,
        kinds=tuple(kinds or ()),
        threads=threads,
        cache_gb=cache_gb,
    )
    raise typer.Exit(run_worker(given, config=config, supervised=supervised, print_config=print_config))


def _given(context: typer.Context, **values: Any) -> dict[str, Any]:
    """What stands on the command line; environment and file are read where all settings of a program are."""
    return {
        name: value
        for name, value in values.items()
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }


@tokens.command("create")
def token_create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it.", show_default=False)],
    scope: Annotated[str, typer.Option(help="admin, user, worker or read-only.")],
    days: Annotated[float | None, typer.Option(help="How long it is good; until it is revoked by default.")] = None,
    home: Home = DEFAULT_HOME,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, this once. From the first one on, every request needs one."""
    from cli import tokens as store

    given = _given(context, home=home.expanduser().absolute(), database_url=database_url)
    store.create(store.settings_of(given, config), name, scope, days, as_json=as_json)


@tokens.command("list")
def token_list(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the tokens, without what is secret."""
    from cli import tokens as store

    given = _given(context, home=home.expanduser().absolute(), database_url=database_url)
    store.list_all(store.settings_of(given, config), as_json=as_json)


@tokens.command("revoke")
def token_revoke(
    context: typer.Context,
    token: Annotated[str, typer.Argument(metavar="ID|NAME", help="Its id, or its name.", show_default=False)],
    home: Home = DEFAULT_HOME,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Revoke a token and the sessions opened with it; it is refused within a second."""
    from cli import tokens as store

    given = _given(context, home=home.expanduser().absolute(), database_url=database_url)
    store.revoke(store.settings_of(given, config), token, as_json=as_json)


@studies.command("create")
def study_create(study_file: StudyFile, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Start the study of a file at a running service."""
    from cli import reading

    reading.create(url, study_file, as_json=as_json)


@studies.command("list")
def study_list(url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """List the studies."""
    from cli import reading

    reading.list_studies(url, as_json=as_json)


@studies.command("show")
def study_show(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show a study and its trials."""
    from cli import reading

    reading.show(url, name, as_json=as_json)


@app.command()
def front(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show the front of a study."""
    from cli import reading

    reading.front(url, name, as_json=as_json)


@app.command()
def preview(study_file: StudyFile, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Check a study file and show what it would search; starts nothing."""
    from cli import reading

    reading.preview(study_file, home.expanduser().absolute(), as_json=as_json)


@app.command()
def calibrate(
    study_file: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY.yaml]", help="The study whose space and target it is.", show_default=False),
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Without a study file: the search space, such as bert.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="device=cpu,runtime=torch,dtype=float32,batch=1,length=128,threads=1."),
    ] = None,
    count: Annotated[int, typer.Option(help="Architectures to measure.")] = 64,
    effort: Annotated[str, typer.Option(help="quick, search or report.")] = "search",
    quantile: Annotated[str | None, typer.Option(help="p50, p90 or p99; p50 by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of architectures.")] = 0,
    home: Home = DEFAULT_HOME,
    url: Annotated[str | None, typer.Option(help="Also send it to the service at this address.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a .json file, or the rows as a .csv file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure architectures of a space on this machine and learn how long all others take."""
    interrupts = Interrupts()
    try:
        from cli.calibrating import CalibrateOptions, calibrate_here

        options = CalibrateOptions(
            study_file=study_file,
            space=space,
            target=target,
            count=count,
            effort=effort,
            quantile=quantile,
            seed=seed,
            home=home.expanduser().absolute(),
            url=url,
            output=None if output is None else output.expanduser().absolute(),
        )
        raise typer.Exit(calibrate_here(options, as_json=as_json))
    except KeyboardInterrupt:
        print("stopped; what was measured is kept, and the same command goes on", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


@app.command()
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="STUDY|CHECKPOINT",
            help="The study's name; with --format the folder of a checkpoint.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            "--output",
            parser=_folder,
            metavar="PATH",
            help="Folder to write to; of a study exports/STUDY in the home by default.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Write a checkpoint as huggingface, onnx or stablehlo."),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Texts in a call of StableHLO; any by default.")] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Tokens of a text in StableHLO; 128 by default.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, or float16 (onnx) or bfloat16 (stablehlo); float32 by default.")
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", help="Platform of StableHLO (repeat it); cpu, cuda and tpu by default."),
    ] = None,
    url: Url = DEFAULT_URL,
    home: Home = DEFAULT_HOME,
) -> None:
    """Download the exported finalists of a study, or write a checkpoint for another runtime."""
    if form is not None:
        from cli.checkpoint_export import ExportOptions
        from cli.reading import convert

        options = ExportOptions(batch=batch, length=length, dtype=dtype, platforms=tuple(platforms or ()))
        return convert(Path(source), form, to, options)
    if (batch, length, dtype, platforms or None) != (None, None, None, None):
        raise typer.BadParameter("--batch, --length, --dtype and --platform belong to --format")
    try:
        name = study_name(source)
    except BadInputError as error:
        if source and Path(source).is_dir():
            raise BadInputError(f"{error}; to export a checkpoint's folder add --format") from error
        raise
    from cli import reading

    folder = to if to is not None else home / "exports" / name
    return reading.export(url, name, folder.expanduser().absolute())


if __name__ == "__main__":
    main()
