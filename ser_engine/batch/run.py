"""Run a job: list its sources, analyze what has no row yet, and commit the rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from ser_engine.batch.plan import Plan
from ser_engine.batch.progress import OnProgress, Progress

EngineName = Literal["local", "ray"]


def run(
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    engine: EngineName = "local",
    address: str | None = None,
    workers: int = 0,
    resume: bool = False,
    max_errors: int | None = None,
    on_progress: OnProgress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Progress:
    """Run a job until every recording has a row, and return how it ended.

    Parameters
    ----------
    plan : see `make_plan`
    out : output folder, see `open_output`; it is made if need be
    engine : "local" for the cores of this machine, "ray" for a cluster
    address : of the cluster, "ray://host:10001" or "auto"; None starts one on this machine
    workers : processes; 0 for one for each core
    resume : continue what is in `out`, or begin where there is nothing; otherwise `out` must be empty
    max_errors : stop after more recordings than these had no answer
    on_progress : called with the `Progress` about twice a second
    stop : asked about twice a second; once true, what is under way is finished and committed

    Raises
    ------
    InvalidSettings
        Another run is writing to `out`, `out` has results of another plan or, without `resume`, any files.
    SerError
        The job cannot go on: no space is left, there are more than `max_errors`, a source cannot be listed, or worker
        processes do not start. What was committed stays, and the job can be resumed.
    """
    raise NotImplementedError
