"""Trials: changed settings that were tested on some folds, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidRecord

TRIALS = "trials.jsonl"
"""The file in the folder of results."""


def read_trials(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a trials.jsonl; none if there is no such file."""
    try:
        return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (TypeError, ValueError) as error:
        raise InvalidRecord(f"{path} has a damaged line ({error}); mend or remove it.") from None
