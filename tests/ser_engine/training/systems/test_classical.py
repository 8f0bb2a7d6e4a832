"""A whole classical experiment on a tiny corpus: from the TOML to figures, resumed, and refused in one sentence."""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ser_engine.training.test_run import write_corpora

from ser_engine import Settings
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.models.classical import Classical
from ser_engine.models.registry import load_model
from ser_engine.settings import PROJECT
from ser_engine.training.config import ClassicalConfig, ExperimentConfig, NetworkConfig, SpeechTextTraining, read_config
from ser_engine.training.runner import run
from ser_engine.training.systems import classical, network, speech_text

TOML = """
id = "tried"
architecture = "classical"
estimator = "{estimator}"
features = "acoustic94"
corpora = ["ravdess"]
optional_corpora = ["savee"]
label_set = "eight"
protocol = "{protocol}"
folds = 3
preprocessing = "none"
"""


def tried(folder: Path, more: str = "", estimator: str = "lda", protocol: str = "speaker-independent") -> Path:
    """Write a configuration, and a corpus beside it unless it is there."""
    if not (folder / "data").exists():
        write_corpora(folder / "data")
    path = folder / "tried.toml"
    path.write_text(TOML.format(estimator=estimator, protocol=protocol) + more, encoding="utf-8")
    return path


def settings(folder: Path) -> Settings:
    return Settings(cache=folder / "cache", models_dir=folder / "models")


def measured(folder: Path, more: str = "", **choices: str) -> dict[str, Any]:
    return run(tried(folder, more, **choices), folder / "data", settings(folder), folder / "results")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classical")


@pytest.fixture(scope="module")
def entry(home: Path) -> dict[str, Any]:
    return measured(home, "save = true\npublished = 'paper-9/table-1/LDA'\nnote = 'Tiny.'\n")


def test_what_a_run_stores(home: Path, entry: dict[str, Any]) -> None:
    assert json.loads((home / "results" / "tried" / "run.json").read_text()) == entry
    assert (entry["id"], entry["model"], entry["features"]) == ("tried", "tried", "acoustic94")
    assert entry["corpora"] == ["ravdess"] and entry["missing_corpora"] == ["savee"]
    assert entry["labels"] == ["neutral", "happy", "sad"]
    assert entry["speaker_independent"] is True and entry["protocol"].startswith("speaker-independent")
    assert (entry["clips"], entry["tested"], entry["dropped"]) == (19, 19, 0)
    assert (entry["published"], entry["note"]) == ("paper-9/table-1/LDA", "Tiny.")
    assert {"WA", "UA", "UA_plus_WA", "macro_f1", "weighted_f1", "UA_ci95"} <= set(entry["metrics"])
    assert np.array(entry["confusion"]).sum() == 19
    assert set(entry["by_speaker"]) == {"ravdess/01", "ravdess/04", "ravdess/08"}
    assert set(entry["by_gender"]) == {"female", "male"}
    assert entry["config"]["estimator"] == "lda" and entry["seconds"] >= 0 and entry["size_mb"] >= 0
    folds = json.loads((home / "results" / "tried" / "folds.json").read_text())
    assert sorted(fold["test_speakers"] for fold in folds.values()) == [["ravdess/01"], ["ravdess/04"], ["ravdess/08"]]


def test_the_audit_of_the_split_is_stored_with_it(home: Path, entry: dict[str, Any]) -> None:
    def leaks(of: dict[str, Any]) -> str:
        return json.dumps([finding for finding in of["audit"]["findings"] if finding["severity"] == "leak"])

    assert "speaker" not in leaks(entry)
    mixed = measured(home, protocol="stratified-k-fold")
    assert mixed["speaker_independent"] is False and "speaker" in leaks(mixed) and "speakers" in mixed["protocol"]


def test_the_saved_model_scores_recordings(home: Path, entry: dict[str, Any]) -> None:
    model = load_model(home / "models" / "tried", settings(home))
    assert isinstance(model, Classical) and model.labels == tuple(entry["labels"])


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    home: Path, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    fit = classical.Experiment.fit

    def counted(self: classical.Experiment, train: np.ndarray, fold: int) -> Any:
        fitted.append(fold)
        return fit(self, train, fold)

    monkeypatch.setattr(classical.Experiment, "fit", counted)
    first = measured(home, "seed = 5\n", estimator="mlp")
    assert fitted == [0, 1, 2]
    (state,) = [folder for folder in (home / "cache" / "runs").iterdir() if (folder / "history-0000.jsonl").exists()]
    (state / "fold-1.npy").unlink()
    (state / "fold-1.part").write_bytes(b"half")
    again = measured(home, "seed = 5\n", estimator="mlp")
    assert fitted == [0, 1, 2, 1]
    assert again | {"seconds": 0} == first | {"seconds": 0}
    folder = home / "results" / "tried"
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert {line["fold"] for line in history} == set(json.loads((folder / "folds.json").read_text()))
    assert all(line["loss"] > 0 for line in history)


def test_copies_are_trained_on_and_never_tested(home: Path) -> None:
    entry = measured(home, 'augmentation = "gomes"\n')
    assert entry["tested"] == 19
    assert entry["features"] == "acoustic94, paper-4 augmentation"


def test_copies_made_before_the_split_are_tested_and_the_result_says_so(home: Path) -> None:
    entry = measured(home, 'augmentation = "gomes"\n', protocol="augmented-before-split")
    assert entry["tested"] > 19 and entry["tested"] % 19 == 0
    assert entry["protocol"].startswith("augmented-before-split")
    twins = [f for f in entry["audit"]["findings"] if "twin" in json.dumps(f) and f["severity"] == "leak"]
    assert twins


def test_balance_prefers_recordings_to_their_copies(home: Path) -> None:
    path = tried(home, 'augmentation = "gomes"\nbalance = "count"\nbalance_to = 9\n')
    config = read_config(path)
    assert isinstance(config, ClassicalConfig)
    experiment = classical.prepare(config, home / "data", settings(home))
    rows, copies = experiment.training_rows(np.arange(19), 0)
    labels = experiment.clips.labels[rows]
    assert {label: int((labels == label).sum()) for label in np.unique(labels)} == dict.fromkeys(
        ("neutral", "happy", "sad"), 9
    )
    for label in ("neutral", "happy", "sad"):
        own = set(np.flatnonzero(experiment.clips.labels == label).tolist())
        assert set(rows[(labels == label) & (copies == 0)].tolist()) == own  # each recording, then some copies


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('augmentation = "paper-9"', "augmentation is “paper-9”; it can be paper-1"),
        ('balance = "harmony"', "balance is “harmony”; it can be count, harmonic-mean"),
        ('balance = "count"', "belong together"),
        ("[parameters]\nwings = 2", "cannot be made of these parameters"),
        ("folds = 1", "folds is 1"),
        ("save = 1", "save is 1"),
        ("parameters = 3", "parameters is 3"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(home: Path, more: str, sentence: str) -> None:
    text = tried(home).read_text().replace("folds = 3\n", "") if more.startswith("folds") else tried(home).read_text()
    (home / "wrong.toml").write_text(text + more + "\n", encoding="utf-8")
    with pytest.raises(InvalidSettings, match=sentence):
        run(home / "wrong.toml", home / "data", settings(home), home / "results")
    assert not (home / "results" / "wrong").exists()


def test_a_corpus_that_is_not_optional_has_to_be_there(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "data" / "emodb", tmp_path / "emodb")
    with pytest.raises(CorpusError, match="RAVDESS"):
        run(tried(home), tmp_path, settings(home), tmp_path / "results")


def test_what_a_system_cannot_learn_from_is_told(home: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"knn cannot learn from these clips: .*n_neighbors"):
        measured(home, "[parameters]\nn_neighbors = -1\n", estimator="knn")


def test_few_clips_are_of_all_labels(home: Path) -> None:
    config = read_config(tried(home, "clips = 7\n"))
    assert isinstance(config, ClassicalConfig)
    experiment = classical.prepare(config, home / "data", settings(home))
    counts = [int((experiment.clips.labels == label).sum()) for label in np.unique(experiment.clips.labels)]
    assert sorted(counts) == [2, 2, 3]
    other = classical.prepare(replace(config, seed=1), home / "data", settings(home))
    assert [u.name for u in other.clips.utterances] != [u.name for u in experiment.clips.utterances]


CHECKS: dict[type, Callable[..., None]] = {
    ClassicalConfig: classical.check,
    NetworkConfig: network.check,
    SpeechTextTraining: speech_text.check,
}


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_project_makes_sense(path: Path) -> None:
    config = read_config(path)
    if isinstance(config, ExperimentConfig):
        CHECKS[type(config)](config, path)
        assert path.stem == "smoke" or path.stem.endswith(config.protocol.replace("-", "_").replace(":", "_"))
        assert path.stem.startswith(("smoke", "ours-")) or config.published.startswith(path.stem[:7])
        published = tomllib.loads((PROJECT / "results" / "published.toml").read_text(encoding="utf-8"))["figure"]
        assert config.published in {"", *(figure["id"] for figure in published)}


def test_the_smoke_configuration_runs_on_real_speech_in_under_a_minute(ser_data: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    entry = run(PROJECT / "configs" / "smoke.toml", ser_data, settings(tmp_path), tmp_path / "results")
    assert time.monotonic() - begun < 60
    assert entry["clips"] == 240 and entry["speaker_independent"] and len(entry["labels"]) == 8
    assert entry["metrics"]["UA"] > 100 / 8  # more than guessing
