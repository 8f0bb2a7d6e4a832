"""A page of a job's results that opens without a network."""

from __future__ import annotations

import os
from pathlib import Path


def write_report(out: str | os.PathLike[str], target: Path) -> None:
    """Write the page; raise InvalidSettings where `out` is not the output of a job."""
    raise NotImplementedError
