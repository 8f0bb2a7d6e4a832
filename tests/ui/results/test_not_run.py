"""What was not run is told with its command, and what was is not."""

from __future__ import annotations

from pathlib import Path

from ser_engine.settings import PROJECT
from ui.results import not_run

CONFIG = """
id = "tried"
architecture = "classical"
estimator = "majority"
features = "acoustic94"
corpora = ["ravdess"]
published = "sharma/table-6/MLPClassifier"
hardware = "a small computer"
"""


def test_a_configuration_without_a_result_is_told_with_its_command(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in ("one", "two"):
        (configs / f"{name}.toml").write_text(CONFIG, encoding="utf-8")
    found, problems = not_run.read(configs, {"two"})
    assert found == [
        not_run.NotRun(
            "one", "sharma/table-6/MLPClassifier", "a small computer", "python -m ser_engine train configs/one.toml"
        )
    ]
    assert not problems


def test_a_broken_configuration_is_told_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("id = ", encoding="utf-8")
    (tmp_path / "good.toml").write_text(CONFIG, encoding="utf-8")
    found, (problem,) = not_run.read(tmp_path, set())
    assert [one.name for one in found] == ["good"]
    assert "broken.toml is not valid TOML" in problem


def test_the_projects_own_configurations_can_all_be_read() -> None:
    found, problems = not_run.read(PROJECT / "configs", set())
    assert len(found) > 30 and not problems
