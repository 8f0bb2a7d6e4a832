"""Every command that the Results page prints for an experiment without a result ends in a record.

The weights come from a hub on this computer under their real ids; see `paper_project` for what is reduced.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ser_engine.cli.main import main
from ser_engine.evaluation.record import find_records, read_record, read_records
from ser_engine.models import hub_files
from ser_engine.settings import PROJECT
from tests.ser_engine.models.loopback_hub import Hub, commit_of, point_to
from tests.ser_engine.training import paper_project
from ui.results.unfinished import find_not_run

ELSEWHERE = ("ours/text/authors-split",)
"""Experiments on corpora of written sentences, which test_text_emotion.py trains."""
PARTS = 9
"""Parts of the slow test, which can run side by side."""
QUICK = (
    "sharma/hubert/paper",  # a pinned encoder, frozen
    "gomes/vgg16/speaker-independent",  # ImageNet weights
    "islam/vggish-all/70-10-20",  # AudioSet weights, all corpora
)

pytestmark = pytest.mark.usefixtures("one_thread")


def printed() -> dict[str, str]:
    """Return the commands of the page by the id of their run."""
    records, _ = read_records(PROJECT / "results")
    waiting, problems = find_not_run(PROJECT / "configs", {record.id for record in records})
    assert not problems
    return {experiment.name: experiment.command for experiment in waiting if experiment.name not in ELSEWHERE}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with configurations, corpora, models and caches."""
    folder = tmp_path_factory.mktemp("project")
    paper_project.write_configs(folder / "configs")
    paper_project.write_corpora(folder / "data")
    paper_project.write_models(folder / "models")
    return folder


@pytest.fixture(scope="module")
def hub(project: Path) -> Iterator[Hub]:
    hub = Hub()
    paper_project.publish(hub, project)
    yield hub
    hub.close()


@pytest.fixture
def environment(project: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings by the environment, as a person would make them."""
    given = {"SER_ALLOW_DOWNLOAD": "1", "SER_LANGUAGE": "en", "SER_DATA": "data", "SER_CACHE": "cache"}
    given |= {"SER_RESULTS": "results", "SER_MODELS_DIR": "models"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project)
    point_to(hub.address, project / "hub-cache", monkeypatch)
    monkeypatch.setattr(hub_files, "_NEWEST", {})
    return given


def run(id: str, project: Path) -> None:
    """Run a command exactly as it is printed, and look at its record."""
    words = shlex.split(printed()[id])
    assert words[0] == "ser"
    assert main(words[1:]) == 0
    check(id, project)


def check(id: str, project: Path) -> None:
    """Check the record: measured, and with the weights that it began with."""
    record = read_record(project / "results", id)
    assert record.tested and 0 <= record.metrics["UA"] <= 100 and not record.problems
    config = record.config
    sources = [str(config[key]) for key in ("speech", "text", "imagenet") if config.get(key)]
    for source in sources:
        name, _, pinned = source.partition("@")
        if name == "whisper-base":
            continue
        (weights,) = [entry for known, entry in record.weights.items() if known.partition("@")[0].endswith(name)]
        assert weights["commit"] == (pinned or commit_of(name)) and len(weights["sha256"]) == 64
    if config.get("features") in ("vggish", "yamnet"):
        assert record.weights[config["features"]]["sha256"]


@pytest.mark.parametrize("id", QUICK)
def test_a_printed_command_ends_in_a_record(id: str, project: Path, environment: dict[str, str]) -> None:
    run(id, project) if id in printed() else pytest.skip("measured by now")


def test_a_printed_command_runs_in_a_process_of_its_own(project: Path, hub: Hub, environment: dict[str, str]) -> None:
    id = "jafarzadeh/wav2vec2-ravdess/stratified-k-fold"
    there = environment | {"HF_ENDPOINT": hub.address, "HF_HOME": str(project / "home"), "OMP_NUM_THREADS": "1"}
    words = shlex.split(printed()[id])
    ended = subprocess.run(
        [sys.executable, "-m", "ser_engine", *words[1:]],
        cwd=project,
        env=os.environ | there | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    newest = commit_of("facebook/wav2vec2-large")
    assert f"facebook/wav2vec2-large@{newest}: no commit was named, and this is the newest." in ended.stderr
    check(id, project)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_printed_command_ends_in_a_record(part: int, project: Path, environment: dict[str, str]) -> None:
    commands = sorted(printed())
    assert len(commands) > 100
    for id in commands[part::PARTS]:
        if id not in set(find_records(project / "results")):
            run(id, project)
    assert set(commands[part::PARTS]) <= set(find_records(project / "results"))
