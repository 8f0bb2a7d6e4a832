"""Runs without a result: experiments with their command, and those in training for as long as they train."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ser_engine.settings import PROJECT
from ui.results import unfinished
from ui.results.unfinished import NotRun, find_not_run

NAME = "ours/net/paper"
CONFIG = """
system = "classical"
estimator = "majority"
features = "acoustic94"
corpora = ["ravdess"]
protocols = ["paper", "speaker-independent"]
published = "sharma/table-6/MLPClassifier"
hardware = "a small computer"
"""


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    (tmp_path / "configs" / "ours").mkdir(parents=True)
    (tmp_path / "configs" / "ours" / "one.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "configs"


def test_a_protocol_without_a_result_has_its_command(configs: Path) -> None:
    waiting, problems = find_not_run(configs, {"ours/one/speaker-independent"})
    command = "ser train configs/ours/one.toml --protocol paper"
    assert waiting == [NotRun("ours/one/paper", "sharma/table-6/MLPClassifier", "a small computer", command)]
    assert not problems


def test_a_broken_configuration_is_a_sentence_and_hides_no_other(configs: Path) -> None:
    (configs / "ours" / "broken.toml").write_text("id = ", encoding="utf-8")
    waiting, (problem,) = find_not_run(configs, set())
    assert len(waiting) == 2 and "broken.toml" in problem


def test_the_projects_own_configurations_can_all_be_read() -> None:
    waiting, problems = find_not_run(PROJECT / "configs", set())
    assert len(waiting) > 30 and not problems


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "runs" / NAME / "0123456789ab"
    folder.mkdir(parents=True)
    for fold in (0, 1):
        lines = [{"fold": str(fold), "epoch": epoch, "loss": 2.0 / epoch} for epoch in (1, 2, 3)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"history-000{fold}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path / "cache"


def test_a_run_under_way_is_found_with_its_epochs(cache: Path) -> None:
    (training,) = unfinished.find_trainings(cache, time.time())
    assert training.name == NAME and training.history.trainings == 2
    assert [point[:2] for point in training.history.curves["loss"]] == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]


def test_a_run_that_has_a_result_or_told_nothing_for_long_is_not(cache: Path) -> None:
    assert not unfinished.find_trainings(cache, time.time() + unfinished.QUIET_S + 60)
    folder = cache / "runs" / NAME / "0123456789ab"
    (folder / unfinished.FINISHED).touch()
    assert not unfinished.find_trainings(cache, time.time())
    assert not unfinished.find_trainings(cache / "nowhere", time.time())


def test_the_page_draws_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_CACHE", str(cache))
    at = AppTest.from_file(str(PROJECT / "pages" / "results.py"), default_timeout=60).run()
    assert not at.exception
    assert "Training now" in [header.value for header in at.header]
    assert NAME in [header.value for header in at.subheader]
    folder = cache / "runs" / NAME / "0123456789ab"
    os.utime(folder / "history-0000.jsonl", (0, 0))
    os.utime(folder / "history-0001.jsonl", (0, 0))
    at.run()
    assert "Training now" not in [header.value for header in at.header]


def test_costs_are_read_from_the_dry_runs_and_damage_costs_nothing(tmp_path: Path) -> None:
    assert unfinished.read_costs(tmp_path) == {}
    file = tmp_path / unfinished.DRY_RUNS
    file.write_text(json.dumps({NAME: {"memory_mb": 1500, "hours": 2.5, "cores": 2}}))
    assert unfinished.read_costs(tmp_path) == {NAME: unfinished.Cost(1.5, 2.5, 2)}
    for damaged in ("[]", "no JSON", '{"a": 1}', '{"a": {"hours": 1}}'):
        file.write_text(damaged)
        assert unfinished.read_costs(tmp_path) == {}
