"""A change that is tried on some folds, and the log of all that were."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.ser_engine.training.test_run import TOML, write_corpora

from ser_engine import Settings
from ser_engine.cli.main import main
from ser_engine.errors import InvalidSettings
from ser_engine.settings import PROJECT
from ser_engine.training.trial import TRIALS, read_changes, read_trials, trial


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings]:
    folder = tmp_path_factory.mktemp("trial")
    write_corpora(folder / "data")
    plain = TOML.replace('conditions = ["telephone", "babble"]', 'conditions = ["telephone"]')
    (folder / "tried.toml").write_text(plain.replace("epochs = 12", "epochs = 2"), encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models" / "whisper-base").symlink_to(PROJECT / "models" / "whisper-base", target_is_directory=True)
    return folder, Settings(models_dir=folder / "models", cache=folder / "cache")


def test_each_trial_has_one_line_with_its_figures(place: tuple[Path, Settings]) -> None:
    folder, settings = place
    results = folder / "results"
    given = folder / "tried.toml", folder / "data", settings, results
    plain = trial(given[0], [], [1, 2], *given[1:])
    wider = trial(given[0], ["hidden=24", "mixup = 0.0"], [1], *given[1:], note="more room")
    assert plain["folds"] == [1, 2] and plain["clips"] == 13 and wider["clips"] == 6
    assert (
        0 <= plain["UA"] <= 100 and set(plain["by_corpus"]) == {"ravdess"} and set(plain["conditions"]) == {"telephone"}
    )
    assert wider["changed"] == {"hidden": 24, "mixup": 0.0} and wider["note"] == "more room"
    again = trial(given[0], [], [2, 1], *given[1:], note="once more")
    assert read_trials(results / TRIALS) == [again, wider]
    assert {key: again[key] for key in ("UA", "seconds")} == {key: plain[key] for key in ("UA", "seconds")}


def test_the_command_line_tries_too_and_refuses_in_a_sentence(
    place: tuple[Path, Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, settings = place
    monkeypatch.setenv("SER_MODELS", str(settings.models_dir))
    monkeypatch.setenv("SER_CACHE", str(settings.cache))
    words = ["trial", str(folder / "tried.toml"), "--data", str(folder / "data"), "--results", str(folder / "cli")]
    assert main([*words, "--folds", "1"]) == 0
    assert read_trials(folder / "cli" / TRIALS)[0]["folds"] == [1]
    for wrong, said in (
        (["--folds", "9"], "no fold 9; it has 1, 2"),
        (["--set", "dropout=2"], "dropout is 2"),
        (["--set", "hidden=9", "nothing=2"], "mean nothing: nothing"),
    ):
        assert main([*words, *wrong]) != 0
        assert said in capsys.readouterr().err


def test_changes_are_entries_of_a_toml() -> None:
    assert read_changes(["dropout=0.6", "labels = ['sad']"]) == {"dropout": 0.6, "labels": ["sad"]}
    with pytest.raises(InvalidSettings, match="“dropout” is no entry"):
        read_changes(["dropout"])


def test_a_broken_log_loses_nothing_but_the_broken_line(tmp_path: Path) -> None:
    log = tmp_path / TRIALS
    log.write_text('{"run": "a"}\n[1]\n{"run": \n{"run": "b"}\n', encoding="utf-8")
    assert read_trials(log) == [{"run": "a"}, {"run": "b"}]
