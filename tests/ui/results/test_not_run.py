"""Experiments without a result, each with its command."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_engine.settings import PROJECT
from ui.results.not_run import NotRun, find_not_run

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
