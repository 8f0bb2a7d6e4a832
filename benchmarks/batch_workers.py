"""Simulate jobs of 1, 10 and 100 workers, and say from where on more of them do not help.

`python -m benchmarks.batch_workers` reads the measured speeds of results/bench.json, measures how long rows take to
commit, and writes results/batch_workers.json, from which docs/scaling.md has its figures. A worker is one core. It
takes lists of calls, decodes and scores them, and hands the rows to the one process that commits parts of both
datasets. Workers fail now and then and are replaced, some calls take many times as long as their sound would suggest,
and recordings come from a store through one connection.
"""

from __future__ import annotations

import heapq
import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ser_engine.batch.job import CHUNK
from ser_engine.batch.output import PART_ROWS
from ser_engine.io import write_json
from ser_engine.settings import PROJECT
from tests.ser_engine.batch.archive import outcome, write_archive

BENCH, RESULT = PROJECT / "results" / "bench.json", PROJECT / "results" / "batch_workers.json"
CALLS = 100_000
WORKERS = (1, 10, 100, 1000)
HELPS = 0.5
"""More workers help as long as doubling them gives more than this share of the doubled speed on top."""


@dataclass(frozen=True)
class Model:
    """What the simulation assumes.

    Attributes
    ----------
    core_factor : hours of sound that one core analyzes in an hour; measured
    commit_s : seconds that the one committing process needs for the rows of a call; measured
    call_s : median length of a call in seconds; lengths are log-normal with `spread`
    straggler, slowdown : share of the calls that take longer, and how many times as long
    failures_per_hour : of a worker, after which its list is begun again
    restart_s : seconds until a worker is replaced and has loaded its models; measured on the machine of the figures
    store_mb_s : megabytes a second from the store to all workers together; 0 for local files
    call_mb_per_s : megabytes of a second of sound, as 8 kHz stereo in mu-law
    """

    core_factor: float
    commit_s: float
    call_s: float = 240.0
    spread: float = 0.8
    straggler: float = 0.001
    slowdown: float = 10.0
    failures_per_hour: float = 0.01
    restart_s: float = 15.0
    store_mb_s: float = 100.0
    call_mb_per_s: float = 0.016


def simulate(model: Model, workers: int, calls: int = CALLS, seed: int = 0) -> dict[str, float]:
    """Return the hours of a job, how busy workers, store and committing process are, and what failures repeat.

    The store and the committing process serve one after the other.
    """
    rng = np.random.default_rng(seed)
    lengths = model.call_s * np.exp(model.spread * rng.standard_normal(calls))
    work = lengths / model.core_factor * np.where(rng.random(calls) < model.straggler, model.slowdown, 1.0)
    size = max(1, min(CHUNK, calls // (2 * workers)))
    lists = [slice(first, first + size) for first in range(0, calls, size)]
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    store_free = commit_free = busy = repeated = 0.0
    for own in lists:
        begun, worker = heapq.heappop(free)
        if model.store_mb_s:
            store_free = max(store_free, begun) + lengths[own].sum() * model.call_mb_per_s / model.store_mb_s
        needed = float(work[own].sum())
        # The next list is read while this one is scored: a worker waits for the store only where that is behind.
        end = max(begun + needed, store_free)
        while rng.random() < 1 - np.exp(-model.failures_per_hour * needed / 3600):
            lost = rng.uniform(0, needed)
            repeated += lost
            end += lost + model.restart_s
        busy += needed
        commit_free = max(commit_free, end) + model.commit_s * (own.stop - own.start)
        heapq.heappush(free, (end, worker))
    stored = float(lengths.sum()) * model.call_mb_per_s / model.store_mb_s if model.store_mb_s else 0.0
    total = max(commit_free, *(moment for moment, _ in free))
    return {
        "hours": round(total / 3600, 2),
        "speed": round(float(lengths.sum()) / total, 1),
        "workers_busy": round(busy / total / workers, 3),
        "store_busy": round(stored / total, 3),
        "commits_busy": round(model.commit_s * calls / total, 3),
        "repeated_hours": round(repeated / 3600, 2),
    }  # fmt: skip


def most_useful(model: Model, calls: int = CALLS) -> int:
    """Return the number of workers from which on twice as many are less than 1 + `HELPS` times as fast."""
    workers = 1
    speed = simulate(model, workers, calls)["speed"]
    while workers < 2**16:
        double = simulate(model, 2 * workers, calls)["speed"]
        if double < (1 + HELPS) * speed:
            return workers
        workers, speed = 2 * workers, double
    return workers


def commit_seconds(calls: int = PART_ROWS) -> float:
    """Return how long it takes to write the rows of a call and of its sentences, as a share of a part."""
    outcomes = [outcome(number) for number in range(calls)]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        write_archive(Path(folder) / "out", *outcomes)
        return (time.perf_counter() - begun) / calls


def costs(core_factor: float) -> dict[str, float]:
    """Return the core hours, and the hours of machines of 8 and 64 cores, of a million hours of sound."""
    cores = 1e6 / core_factor
    return {"core_hours": round(cores), "hours_of_8_cores": round(cores / 8), "hours_of_64_cores": round(cores / 64)}


def main() -> None:
    """Simulate both kinds of jobs and write the result."""
    bench = json.loads(BENCH.read_text(encoding="utf-8"))
    cores = int(bench["machine"]["cores"])
    commit_s = commit_seconds()
    result: dict[str, Any] = {"calls": CALLS, "machine": bench["machine"]}
    for kind in ("words", "voice"):
        model = Model(bench[f"batch_realtime_factor_{kind}"] / cores, round(commit_s, 6))
        local = replace(model, store_mb_s=0.0)
        result[kind] = {
            "model": asdict(model),
            "million_hours": costs(model.core_factor),
            "jobs": {str(workers): simulate(model, workers) for workers in WORKERS},
            "most_useful_workers": most_useful(model),
            "most_useful_workers_without_a_store": most_useful(local),
        }
    write_json(RESULT, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
