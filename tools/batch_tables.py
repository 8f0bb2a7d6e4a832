"""Tables of docs/scaling.md, from results/bench.json and results/batch_workers.json."""

from __future__ import annotations

import json
from typing import Any

from ser_engine.settings import PROJECT
from tools.markdown import table

RESULTS = PROJECT / "results"
KINDS = {"words": "with transcripts", "voice": "without transcripts"}
MISSING = "Not measured yet."
GOALS = {
    "batch_realtime_factor_words": ("hours of sound per hour, with transcripts", "≥ 16"),
    "batch_realtime_factor_voice": ("hours of sound per hour, without transcripts", "≥ 90"),
    "batch_scaling": ("two workers compared with one", "≥ 1.8"),
    "batch_overhead": ("time compared with the same analyses alone", "≤ 1.05"),
    "batch_100k_peak_mb": ("peak memory over 100,000 files, all processes, less the weights, MB", "≤ 900"),
    "batch_resume_lost_rows": ("rows lost in 20 kills", "0"),
    "batch_duplicate_rows": ("rows repeated in 20 kills", "0"),
    "ray_rows_equal": ("both engines write the same rows", "yes"),
}


def _read(name: str) -> dict[str, Any]:
    path = RESULTS / name
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return figures


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}"


def batch() -> str:
    """Return the figures of jobs, each with what it should be."""
    bench = _read("bench.json")
    rows = [[text, _show(bench[key]), goal] for key, (text, goal) in GOALS.items() if key in bench]
    return table([f"on {bench['machine']['cores']} cores", "measured", "goal"], rows) if rows else MISSING


def costs() -> str:
    """Return the machine hours of a million hours of sound."""
    result, ratio = _read("batch_workers.json"), _read("bench.json").get("batch_ray_ratio")
    rows = []
    for kind, title in KINDS.items():
        if kind in result:
            own = result[kind]["million_hours"]
            hours = [own[name] for name in ("core_hours", "hours_of_8_cores", "hours_of_64_cores")]
            rows.append([f"local, {title}", *(f"{value:,.0f}" for value in hours)])
            if ratio:
                rows.append([f"ray, {title}", *(f"{value * ratio:,.0f}" for value in hours)])
    return (
        table(["a million hours of sound", "core hours", "hours of 8 cores", "of 64 cores"], rows) if rows else MISSING
    )


def workers() -> str:
    """Return what the simulation says of more workers."""
    result = _read("batch_workers.json")
    rows = []
    for kind, title in KINDS.items():
        for count, job in result.get(kind, {}).get("jobs", {}).items():
            busy = [f"{100 * job[name]:.0f}%" for name in ("workers_busy", "store_busy", "commits_busy")]
            rows.append([f"{int(count):,}, {title}", f"{job['hours']:,.1f}", f"{job['speed']:,.0f}", *busy])
    if not rows:
        return MISSING
    head = ["workers", "hours", "hours of sound per hour", "workers busy", "store busy", "commits busy"]
    ends = [
        f"Doubling the workers gives less than half of the doubled speed from {result[kind]['most_useful_workers']:,} "
        f"workers on {title}, and from {result[kind]['most_useful_workers_without_a_store']:,} on where the store is "
        "no limit."
        for kind, title in KINDS.items()
        if kind in result
    ]
    return "\n\n".join([table(head, rows), *ends])
