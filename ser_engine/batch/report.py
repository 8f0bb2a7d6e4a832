"""A page of a job's results that opens without a network, and a table of them."""

from __future__ import annotations

import csv
import html
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from ser_engine.batch.output import Datasets, open_output
from ser_engine.batch.report_data import gather
from ser_engine.batch.schema import names_of_columns
from ser_engine.caveats import LAW, accuracy, limits
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.io import atomic_write, write_text
from ser_engine.models.cards import read_figures
from ser_engine.settings import Settings

PAGE = files("ser_engine.batch.report_page")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would compute."""
LEFT_OUT = ("probabilities", "speakers", "seconds", "languages", "warnings", "voice_kinds")
"""Columns that are no single values; a table has the first one as a column each, and the last three as text."""


def write_report(out: str | os.PathLike[str], target: Path, settings: Settings | None = None) -> None:
    """Write the page.

    Parameters
    ----------
    out : folder of the results
    target : HTML file to write
    settings : where the model's measured figures are found; `Settings.from_env()` by default

    Raises
    ------
    InvalidSettings
        `out` is not the output of a job, or the file cannot be written.
    """
    datasets = open_output(out)
    try:
        write_text(target, render(datasets, settings or Settings.from_env(), str(out)))
    except OSError as error:
        raise InvalidSettings(f"{target} cannot be written ({error.strerror}).") from None


def render(datasets: Datasets, settings: Settings, title: str) -> str:
    """Return the page as HTML: its script draws what lies next to it as JSON, and takes none of it for markup."""
    from plotly.offline import get_plotlyjs

    plan = datasets.plan
    card = None
    with suppress(WeightsUnavailable):
        card = read_figures(plan.apply(settings))
    measured = [
        accuracy(card) or "The accuracy of this model has not been measured here.",
        "Everyday speech is harder.",
    ]
    sentences = [*limits(card), " ".join(measured)]
    content = gather(datasets) | {"title": title, "written": datetime.now().astimezone().isoformat(timespec="minutes")}
    parts = {
        "limits": "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences),
        "law": "".join(f"<li>{html.escape(sentence)}</li>" for sentence in LAW),
        "models": html.escape(", ".join(f"{name} ({digest[:12]})" for name, digest in plan.models.items())),
        "versions": html.escape(", ".join(f"{name} {number}" for name, number in plan.versions.items())),
        "style": PAGE.joinpath("style.css").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "script": PAGE.joinpath("page.js").read_text(encoding="utf-8"),
        "content": escape_json(content),
    }
    page = PAGE.joinpath("index.html").read_text(encoding="utf-8")
    pieces = page.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:]))


def escape_json(value: Any) -> str:
    """Return JSON that cannot end the script in which it stands."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def write_table(out: str | os.PathLike[str], target: Path) -> None:
    """Write the recordings as CSV, one row each; raise InvalidSettings as `write_report` does.

    It begins with a byte order mark, without which Excel takes UTF-8 for another encoding.
    """
    datasets = open_output(out)
    try:
        with atomic_write(target) as part, part.open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.writer(file, lineterminator="\r\n")
            table.writerows(_table(datasets))
    except OSError as error:
        raise InvalidSettings(f"{target} cannot be written ({error.strerror}).") from None


def _table(datasets: Datasets) -> Iterator[list[Any]]:
    labels = datasets.plan.labels
    extra = names_of_columns(datasets.plan.columns).values()
    names = [name for name in datasets.recordings.schema.names if name not in LEFT_OUT and name not in extra]
    yield [*names, "languages", "warnings", *(f"probability_{label}" for label in labels), *extra]
    for batch in datasets.recordings.to_batches():
        for row in batch.to_pylist():
            scores = row["probabilities"] or {}
            listed = [" ".join(row["languages"] or ()), " ".join(row["warnings"] or ())]
            values = [row[name] for name in names] + listed + [scores.get(label) for label in labels]
            yield [_cell(value) for value in (*values, *(row[name] for name in extra))]


def _cell(value: Any) -> Any:
    """Return a value that a spreadsheet shows as it is."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
