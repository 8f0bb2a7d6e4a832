"""The output of a job: two datasets of Parquet files, in which a recording and its segments appear together.

OUT/recordings/part-000012.parquet and OUT/segments/part-000012.parquet hold the same recordings. Both are written under
names that no reader takes, the segments are renamed first and the recordings last, which is the commit. What a killed
run left behind is removed when the next one begins.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as pads

from ser_engine.batch.plan import Plan, read_plan
from ser_engine.batch.schema import recordings_schema, segments_schema

RECORDINGS, SEGMENTS = "recordings", "segments"


@dataclass(frozen=True)
class Datasets:
    """The results of a job so far; both datasets can be read while it runs."""

    plan: Plan
    recordings: pads.Dataset
    segments: pads.Dataset


def open_output(out: str | os.PathLike[str]) -> Datasets:
    """Open the results in an output folder, of which only what was committed is read.

    Raise InvalidSettings where it is not the output of a job.
    """
    plan, folder = read_plan(out), Path(out)
    parts = committed(folder)
    recordings = [str(folder / RECORDINGS / name) for name in parts]
    segments = [str(path) for name in parts if (path := folder / SEGMENTS / name).exists()]
    return Datasets(
        plan,
        pads.dataset(recordings, recordings_schema(plan.labels, plan.columns), "parquet"),
        pads.dataset(segments, segments_schema(plan.labels), "parquet"),
    )


def committed(folder: Path) -> list[str]:
    """Return the names of the parts that were committed, in their order."""
    return sorted(path.name for path in (folder / RECORDINGS).glob("part-*.parquet"))
