"""A batch of the page runs in the background, waits for its turn, and is found again by its id."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ser_engine import Settings
from ser_engine.batch import open_output
from tests.speech import speech_wav
from tests.tiny_models import write_heads
from ui.batch.jobs import Job, Jobs

PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings with a tiny model and without transcripts."""
    models = tmp_path_factory.mktemp("batch") / "models"
    write_heads(models)
    return Settings(models_dir=models, model="tiny-heads", transcribe=False, speakers="off")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Return a folder with two recordings."""
    (tmp_path / "calls").mkdir()
    for number in range(2):
        (tmp_path / f"calls/{number}.wav").write_bytes(speech_wav("Dogs are sitting by the door."))
    return tmp_path / "calls"


def ended(job: Job) -> str:
    """Return the state of a job once it neither waits nor runs."""
    deadline = time.monotonic() + PATIENCE_S
    while job.active and time.monotonic() < deadline:
        time.sleep(0.05)
    return job.state


def test_a_batch_ends_and_another_server_finds_it(tmp_path: Path, settings: Settings, calls: Path) -> None:
    jobs = Jobs(tmp_path / "batches", days=7)
    job, second = jobs.create(), jobs.create()
    assert job.state == "new" and (job.folder.stat().st_mode & 0o777 == 0o700 or os.name == "nt")
    jobs.start(job, [calls], settings)
    jobs.start(second, [calls], settings)
    assert second.state == "waiting"
    jobs.cancel(second)
    assert second.state == "new" and ended(job) == "finished", job.progress
    assert job.progress is not None and (job.progress.done, job.progress.failed) == (2, 0)

    again = Jobs(tmp_path / "batches", days=7)
    found = again.find(job.id)
    assert found is not None and found.state == "finished" and open_output(found.out).recordings.count_rows() == 2
    for wrong in ("", "..", "../batches", job.id[:-1], job.id + "x", "x" * 22):
        assert again.find(wrong) is None
    again.remove(found)
    assert again.find(job.id) is None and not job.folder.exists() and calls.exists()


def test_a_batch_that_cannot_run_says_why_and_may_be_continued(tmp_path: Path, settings: Settings, calls: Path) -> None:
    jobs = Jobs(tmp_path / "batches", days=7)
    job = jobs.create()
    jobs.start(job, [calls], replace(settings, model="gone"))
    assert ended(job) == "failed" and job.progress is not None and "gone" in job.progress.reason
    jobs.start(job, [calls], settings)
    assert ended(job) == "finished"
    (calls / "2.wav").write_bytes(speech_wav("Kids are talking by the door."))
    jobs.resume(job, settings)
    assert ended(job) == "finished" and open_output(job.out).recordings.count_rows() == 3


def test_old_batches_are_discarded(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "batches", days=1)
    old, young = jobs.create(), jobs.create()
    two_days_ago = time.time() - 2 * 86400
    os.utime(old.folder, (two_days_ago, two_days_ago))
    (tmp_path / "batches/notes").mkdir()
    os.utime(tmp_path / "batches/notes", (two_days_ago, two_days_ago))
    new = jobs.create()
    assert jobs.find(old.id) is None and jobs.find(young.id) is young and jobs.find(new.id) is new
    assert (tmp_path / "batches/notes").exists()
