"""The model of one fold, on a tiny corpus of generated speech."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_engine import Settings
from ser_engine.audio.clean import clean_speech
from ser_engine.errors import InvalidSettings
from ser_engine.live.transcript import LIVE
from ser_engine.models.registry import load_model
from ser_engine.models.store import read_config
from ser_engine.settings import PROJECT
from ser_engine.training.fold_model import train_fold_model
from ser_engine.types import Recording
from tests.ser_engine.training.tiny import LABELS, STATISTICS, make_bench
from tests.speech import RATE, speech


def test_its_training_has_no_speaker_of_its_fold_and_it_is_saved(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, Settings().models_dir)
    settings = bench.settings
    config = bench.write("tried", STATISTICS + 'augmentation = ["telephone"]\n')
    folder, unseen = train_fold_model(config, "2", settings)
    assert folder.is_relative_to(settings.cache) and {clip.speaker for clip in unseen} == {"ravdess/04"}
    card = read_config(folder)
    assert (card["unseen_speakers"], card["fold"], card["corpora"]) == (["ravdess/04"], "2", ["ravdess"])

    model = load_model(folder, settings)
    assert model.id == "tiny-fold-2" and model.labels == LABELS
    assert card["temperature"] > 0 and card["temperature"] != 1.0
    clean = clean_speech(Recording(speech(), RATE, LIVE), settings)
    (prediction,) = model.predict([clean], None)
    assert sum(prediction.scores.to_dict().values()) == pytest.approx(1, abs=1e-4)

    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    again, _ = train_fold_model(config, "2", settings)
    assert again == folder and (folder / "model.safetensors").stat().st_mtime_ns == stamp

    with pytest.raises(InvalidSettings, match=r"the folds 1, 2, 3, and no fold 7"):
        train_fold_model(config, "7", settings)


def test_other_systems_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="classical"):
        train_fold_model(PROJECT / "configs" / "ours" / "svm.toml", "1", Settings())
