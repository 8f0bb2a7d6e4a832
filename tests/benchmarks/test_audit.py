"""The benchmark of audits and splits, on fewer rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.audit import generate_rows, measure
from ser_engine.data import manifest
from ser_engine.data.audit import audit
from ser_engine.data.audit_rows import read_table


@pytest.mark.slow
def test_seconds_and_memory_are_measured() -> None:
    measured = measure(rows=2000)
    assert set(measured) == {"audit_100k_seconds", "audit_100k_processor_seconds", "audit_100k_peak_mb"}
    assert all(value > 0 for value in measured.values())
    assert measured["audit_100k_peak_mb"] > 50  # an interpreter with numpy and scikit-learn


@pytest.mark.slow
def test_the_generated_manifest_has_something_of_everything_to_be_found(tmp_path: Path) -> None:
    manifest.write_manifest(generate_rows(5000), tmp_path / "clips.csv")
    found = {finding.id: finding for finding in audit(read_table(tmp_path / "clips.csv")).findings}
    assert {"shared-speakers", "shared-sentences", "augmented-twins", "identical-clips", "sample-rates"} <= set(found)
    assert found["shared-speakers"].of == 200
