"""Figures on standard output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ser_engine.evaluation.record import RunRecord


def print_figures(figures: Mapping[str, Any], *names: str) -> None:
    """Print the named entries that exist as JSON, or all entries."""
    chosen = {name: figures[name] for name in names or figures if name in figures}
    print(json.dumps(chosen, indent=2, ensure_ascii=False))


def print_record(record: RunRecord, *names: str) -> None:
    """Print the named entries of a record as JSON, after its id."""
    print_figures(record.to_dict(), "id", *names)
