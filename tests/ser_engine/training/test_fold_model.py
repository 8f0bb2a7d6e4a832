"""The model of one fold, on a tiny corpus of generated speech."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.ser_engine.training.test_run import LABELS, TOML, write_corpora

from ser_engine import Settings
from ser_engine.audio.clean import clean_speech
from ser_engine.errors import InvalidSettings
from ser_engine.live.transcript import LIVE
from ser_engine.models.registry import load_model
from ser_engine.models.store import read_config
from ser_engine.settings import PROJECT
from ser_engine.training.fold_model import fold_model
from ser_engine.types import Recording
from tests.speech import RATE, speech


def test_it_has_not_heard_the_speakers_of_its_fold_and_is_kept(tmp_path: Path) -> None:
    write_corpora(tmp_path / "data")
    config = tmp_path / "tried.toml"
    config.write_text(TOML.replace("views = 1", 'augmentation = ["telephone"]'), encoding="utf-8")
    settings = Settings(cache=tmp_path / "cache")
    folder, unheard = fold_model(config, 2, tmp_path / "data", settings)
    assert folder.is_relative_to(tmp_path / "cache") and {one.speaker for one in unheard} == {"ravdess/04"}
    card = read_config(folder)
    assert (card["unheard"], card["fold"], card["corpora"]) == (["ravdess/04"], 2, ["ravdess"])
    history = (folder / "history.jsonl").read_text(encoding="utf-8")
    assert '"fold": "2"' in history and '"fold": "2 and' in history

    model = load_model(folder, settings)
    assert model.id == "tiny-fold-2" and model.labels == tuple(LABELS)
    assert card["temperature"] > 0 and card["temperature"] != 1.0
    heard = clean_speech(Recording(speech(), RATE, LIVE), settings)
    assert sum(model.predict([heard])[0].scores.to_dict().values()) == pytest.approx(1, abs=1e-4)

    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    again, _ = fold_model(config, 2, tmp_path / "data", settings)
    assert again == folder and (folder / "model.safetensors").stat().st_mtime_ns == stamp

    with pytest.raises(InvalidSettings, match=r"folds 1, 2, 3, and no fold 7"):
        fold_model(config, 7, tmp_path / "data", settings)


def test_other_systems_are_told() -> None:
    with pytest.raises(InvalidSettings, match="classical"):
        fold_model(PROJECT / "configs" / "ours-svm-speaker_independent.toml", 1, Path("nowhere"), Settings())
