"""What the results page shows of the corpora and of the augmentations, against sound whose measures are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.cli.main import main
from ser_engine.data import describe as describing
from ser_engine.data.augment import RECIPES
from ser_engine.data.describe import (
    describe,
    draw_augmentations,
    draw_clip,
    measure_clips,
    write_description,
    zero_crossings_and_centroid,
)
from ser_engine.errors import CorpusError, InvalidAudio, SerError
from tests.speech import RATE, encode, noise, silence, speech, tone

CLIP = Path(__file__).resolve().parents[2] / "data" / "woman_dogs.ogg"
# EMO-DB's names: speaker, text, emotion (W anger, T sadness, L boredom, which is none of our eight), take.
CLIPS = {"03a01Wa": tone(1.0, 500.0), "03a02Wb": tone(1.0, 1500.0), "08a01Ta": tone(2.0, 250.0), "08a02Lc": tone(1.0)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "emo-db").mkdir()
    for name, samples in CLIPS.items():
        (folder / "emo-db" / f"{name}.wav").write_bytes(encode(samples))
    (folder / "emo-db" / "09a01Wa.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def found(data: Path) -> dict[str, Any]:
    return describe(data, Settings(), CLIP)


def test_clips_are_counted_by_corpus_and_emotion(found: dict[str, Any]) -> None:
    emodb = found["corpora"]["emodb"]
    assert emodb["by_emotion"] == {"sad": 1, "angry": 3, describing.OTHER: 1}
    assert (emodb["clips"], emodb["speakers"]) == (5, 3)
    assert emodb["hours"] == pytest.approx(5 / 3600, abs=0.005)


def test_what_cannot_be_read_is_counted_and_measured_nowhere(found: dict[str, Any]) -> None:
    assert found["unreadable"] == 1
    assert found["class_means"]["emodb"]["angry"]["clips"] == 2


def test_class_means_and_deviations_are_those_of_the_clips(found: dict[str, Any]) -> None:
    angry, sad = (found["class_means"]["emodb"][label] for label in ("angry", "sad"))
    assert angry["spectral_centroid_hz"]["mean"] == pytest.approx(1000, rel=0.05)
    assert angry["spectral_centroid_hz"]["std"] == pytest.approx(500, rel=0.05)
    # A sine crosses zero twice a period; frames at the ends are partly silence.
    assert angry["zero_crossing_rate"]["mean"] == pytest.approx(2 * 1000 / RATE, rel=0.07)
    assert sad["zero_crossing_rate"]["std"] == 0
    assert found["class_means"]["all"] == found["class_means"]["emodb"]
    assert describing.OTHER not in found["class_means"]["all"]


@pytest.mark.parametrize("hz", [300.0, 3000.0])
def test_a_tone_has_its_own_centroid(hz: float) -> None:
    crossings, centroid = zero_crossings_and_centroid(tone(2.0, hz))
    assert crossings == pytest.approx(2 * hz / RATE, rel=0.05)
    assert centroid == pytest.approx(hz, rel=0.05)


def test_pauses_do_not_pull_the_centroid_and_silence_has_none() -> None:
    hiss = noise(1.0)
    with_pause = np.concatenate([hiss, silence(3.0)])
    assert zero_crossings_and_centroid(with_pause)[1] == pytest.approx(zero_crossings_and_centroid(hiss)[1], rel=0.05)
    assert zero_crossings_and_centroid(silence(1.0)) == (0, 0)


def test_measures_do_not_depend_on_the_files_rate(tmp_path: Path) -> None:
    paths = [tmp_path / "16.wav", tmp_path / "48.wav"]
    for path, rate in zip(paths, (16_000, 48_000), strict=True):
        path.write_bytes(encode(tone(1.0, 800.0, rate=rate), rate))
    low, high = measure_clips(paths, Settings(), workers=1)
    assert low is not None and high is not None
    assert low == pytest.approx(high, rel=0.02)


def test_every_augmentation_of_every_recipe_has_its_picture(found: dict[str, Any]) -> None:
    pictures = found["augmentations"]
    assert pictures["clip"] == CLIP.name
    for name, recipe in RECIPES.items():
        assert list(pictures[name]) == [item.name for item in recipe]
    drawn = [pictures["original"], *(shown for name in RECIPES for shown in pictures[name].values())]
    for shown in drawn:
        assert len(shown["low"]) == len(shown["high"]) == describing.OUTLINE_POINTS
        assert np.shape(shown["mel"]) == (describing.BANDS, describing.COLUMNS)
        assert np.min(shown["mel"]) >= describing.FLOOR_DB and np.max(shown["mel"]) <= 0


def test_the_pictures_show_what_was_done(found: dict[str, Any]) -> None:
    original, changed = found["augmentations"]["original"], found["augmentations"]["gomes"]
    assert changed["stretch"]["seconds"] == pytest.approx(original["seconds"] / 0.8, rel=0.02)
    assert changed["pitch"]["seconds"] == original["seconds"]
    # Noise fills the pauses: no stretch of the outline is flat, and little of the spectrogram is silence.
    assert np.min(np.subtract(changed["noise"]["high"], changed["noise"]["low"])) > 0.02
    assert np.mean(changed["noise"]["mel"]) > np.mean(original["mel"]) + 10


def test_the_same_seed_draws_the_same_pictures() -> None:
    first, again, other = (draw_augmentations(CLIP, Settings(), seed) for seed in (1, 1, 2))
    assert first == again
    assert first["sharma"] != other["sharma"]


@pytest.mark.parametrize("samples", [speech()[:900], silence(0.5)])
def test_short_and_silent_clips_have_pictures(samples: np.ndarray) -> None:
    shown = draw_clip(samples)
    assert len(shown["low"]) == min(len(samples), describing.OUTLINE_POINTS)
    assert np.isfinite(shown["mel"]).all()


def test_what_is_written_is_read_back_and_nothing_lies_beside_it(found: dict[str, Any], tmp_path: Path) -> None:
    path = write_description(found, tmp_path / "new")
    assert json.loads(path.read_text()) == found
    assert [file.name for file in path.parent.iterdir()] == [describing.FILE]


@pytest.mark.parametrize(
    ("corpora", "clip", "error", "words"),
    [
        ((), None, CorpusError, "There is no corpus in"),
        (("ravdess",), None, CorpusError, "no folder named ravdess for RAVDESS"),
        (("nonsense",), None, CorpusError, "nonsense"),
        ((), Path(__file__), InvalidAudio, "not a recording"),
    ],
)
def test_what_is_missing_is_one_sentence(
    corpora: tuple[str, ...], clip: Path | None, error: type[SerError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words) as raised:
        describe(tmp_path, Settings(), clip, corpora)
    assert str(raised.value).endswith(".")


def test_the_verb_writes_where_the_page_reads(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    assert main(["describe", "--data", str(data)]) == 0
    assert "emodb" in capsys.readouterr().out
    written = json.loads((Settings.from_env().results / describing.FILE).read_text())
    assert written["corpora"]["emodb"]["clips"] == 5 and written["augmentations"] == {}


@pytest.mark.corpora
def test_disgust_crosses_zero_more_often_than_calm(ser_data: Path) -> None:
    """Sharma's figures 3 and 4 on calm and disgust, on RAVDESS's first four actors."""

    def clips(emotion: str) -> list[Path]:
        actors = [ser_data / "ravdess" / f"Actor_{actor:02}" for actor in range(1, 5)]
        return [path for actor in actors for path in sorted(actor.glob(f"03-01-{emotion}-*"))]

    calm, disgust = (measure_clips(clips(emotion), Settings(), workers=1) for emotion in ("02", "07"))
    for column in (1, 2):
        assert np.mean([clip[column] for clip in calm if clip]) < np.mean([clip[column] for clip in disgust if clip])
