"""A change that is tested on some folds, and the log of all trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ser_engine.cli.main import main
from ser_engine.errors import InvalidRecord, InvalidSettings
from ser_engine.evaluation.trials import TRIALS, read_trials
from ser_engine.settings import PROJECT
from ser_engine.training.trial import read_changes, run_trial
from tests.ser_engine.training.tiny import STATISTICS, Bench, make_bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("trial")
    (folder / "models").mkdir()
    (folder / "models" / "whisper-base").symlink_to(PROJECT / "models" / "whisper-base", target_is_directory=True)
    bench = make_bench(folder, folder / "models")
    bench.write("tried", STATISTICS.replace(', "babble"', "").replace("epochs = 12", "epochs = 2"))
    return bench


def test_each_trial_has_one_line_with_its_figures(bench: Bench) -> None:
    def run(changes: list[str], folds: list[str], note: str = "") -> dict[str, Any]:
        path = bench.folder / "configs" / "test" / "tried.toml"
        return run_trial(path, changes, folds, bench.settings, note=note)

    plain = run([], ["1", "2"])
    wider = run(["hidden=24", "mixup = 0.0"], ["1"], "more room")
    assert plain["folds"] == ["1", "2"] and plain["clips"] == 13 and wider["clips"] == 6
    assert 0 <= plain["UA"] <= 100
    assert set(plain["by_corpus"]) == {"ravdess"} and set(plain["degradations"]) == {"telephone"}
    assert wider["changed"] == {"hidden": 24, "mixup": 0.0} and wider["note"] == "more room"
    again = run([], ["2", "1"], "once more")
    assert read_trials(bench.results / TRIALS) == [wider, again]
    assert {key: again[key] for key in ("UA", "seconds")} == {key: plain[key] for key in ("UA", "seconds")}


def test_the_command_line_runs_trials_and_refuses_in_a_sentence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SER_MODELS_DIR", str(bench.settings.models_dir))
    monkeypatch.setenv("SER_CACHE", str(bench.settings.cache))
    path, results = bench.folder / "configs" / "test" / "tried.toml", bench.folder / "cli"
    words = ["trial", str(path), "--data", str(bench.data), "--results", str(results)]
    assert main([*words, "--folds", "1"]) == 0
    assert read_trials(results / TRIALS)[0]["folds"] == ["1"]
    for wrong, sentence in (
        (["--folds", "9"], "has the folds 1, 2, 3, and no fold 9"),
        (["--set", "dropout=2.0"], "dropout is 2"),
        (["--set", "hidden=9", "nothing=2"], "there is no entry “nothing”"),
    ):
        assert main([*words, *wrong]) != 0
        assert sentence in capsys.readouterr().err


def test_changes_are_entries_of_a_toml() -> None:
    assert read_changes(["dropout=0.6", "corpora = ['tess']"]) == {"dropout": 0.6, "corpora": ["tess"]}
    with pytest.raises(InvalidSettings, match="“dropout” is not an entry"):
        read_changes(["dropout"])


@pytest.mark.parametrize("line", ['{"run": ', "[1]"])
def test_a_damaged_log_is_reported_and_stays_as_it_is(bench: Bench, line: str, tmp_path: Path) -> None:
    log = tmp_path / TRIALS
    log.write_text(text := f'{{"run": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InvalidRecord, match="damaged line"):
        run_trial(PROJECT / "configs" / "ours" / "svm.toml", [], ["1"], replace(bench.settings, results=tmp_path))
    assert log.read_text(encoding="utf-8") == text
