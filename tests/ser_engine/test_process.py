"""The public functions: examples of their docstrings, tables of several files, files that cannot be analyzed."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import ser_engine
from ser_engine import Analysis, Analyzer, process, process_file, process_files, process_folder, process_signal
from ser_engine.errors import InvalidAudio, NoSpeech
from ser_engine.labels import EMOTIONS
from ser_engine.settings import PROJECT
from tests.speech import encode, tone

DATA = PROJECT / "tests" / "data"
DOGS = DATA / "man_dogs.ogg"


@pytest.mark.parametrize("module", [ser_engine, process], ids=lambda module: module.__name__)
def test_the_examples_run(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 2 and not result.failed


def test_a_table_has_the_answers_of_the_analyzer(analyzer: Analyzer) -> None:
    files = sorted(DATA.glob("*.ogg"))[:3]
    table = process_files(files, analyzer=analyzer)
    assert list(table.columns) == [*EMOTIONS, "label", "confidence", "transcript", "language"]
    assert table.index.names == ["file", "start", "end"]
    assert list(table.index.get_level_values("file")) == [str(file) for file in files]
    # Decoded together as well: a sign of punctuation may depend on that.
    answers = analyzer.analyze_batch(files)
    for expected, (_, row) in zip(answers, table.iterrows(), strict=True):
        assert isinstance(expected, Analysis)
        np.testing.assert_allclose(row[list(EMOTIONS)].astype(float), expected.scores.probabilities, atol=1e-5)
        assert row["label"] == expected.scores.top and row["confidence"] == max(row[list(EMOTIONS)])
        assert expected.transcript is not None and row["transcript"] == expected.transcript.text
        assert row["language"] == expected.transcript.language == "en"
    seconds = table.index.get_level_values("end").total_seconds()
    np.testing.assert_allclose(seconds, [soundfile.info(file).duration for file in files], atol=1e-3)


def test_a_part_of_a_file_is_a_recording_of_its_own(analyzer: Analyzer) -> None:
    samples, rate = soundfile.read(DOGS, dtype="float32")
    part = process_file(DOGS, start="500ms", end=1.5, transcribe=False, analyzer=analyzer)
    assert part.index[0][1:] == (pd.Timedelta(0.5, "s"), pd.Timedelta(1.5, "s"))
    signal = samples[round(0.5 * rate) : round(1.5 * rate)]
    alone = process_signal(np.stack([signal, signal]), rate, transcribe=False, analyzer=analyzer)
    np.testing.assert_allclose(part[list(EMOTIONS)], alone[list(EMOTIONS)], atol=1e-4)
    whole = process_signal(samples, rate, start=0.5, end=1.5, transcribe=False, analyzer=analyzer)
    assert whole.index.droplevel("file").equals(part.index.droplevel("file"))


def test_integers_are_the_same_signal(analyzer: Analyzer) -> None:
    samples, rate = soundfile.read(DOGS, dtype="int16")
    integers = process_signal(samples, rate, transcribe=False, analyzer=analyzer)
    floats = process_signal(samples / 2**15, rate, transcribe=False, analyzer=analyzer)
    np.testing.assert_allclose(integers[list(EMOTIONS)], floats[list(EMOTIONS)], atol=1e-5)


@pytest.mark.parametrize(
    ("signal", "rate", "sentence"),
    [
        (np.zeros((2, 3, 4)), 16_000, "of the shape"),
        (np.array(["a"]), 16_000, "floats or signed integers"),
        (np.zeros(0), 16_000, "0 samples"),
        (np.full(16_000, np.nan), 16_000, "NaN"),
        (np.zeros(16_000), 100, "sample rate"),
    ],
)
def test_a_signal_that_is_no_sound_is_refused(signal: np.ndarray, rate: int, sentence: str, analyzer: Analyzer) -> None:
    with pytest.raises(Exception, match=sentence):
        process_signal(signal, rate, analyzer=analyzer)


def test_bad_files_are_rows_without_values_and_warnings(tmp_path: Path, analyzer: Analyzer) -> None:
    (tmp_path / "beep.wav").write_bytes(encode(tone(2)))
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "notes.txt").write_text("left out")
    (tmp_path / "._beep.wav").write_bytes(bytes(100))
    (tmp_path / "voice.3gp").write_bytes(DOGS.read_bytes())
    with pytest.warns(UserWarning) as caught:
        table = process_folder(tmp_path, transcribe=False, analyzer=analyzer)
    assert [Path(file).name for file in table.index.get_level_values("file")] == ["beep.wav", "text.wav", "voice.3gp"]
    assert table["label"].isna().tolist() == table["happy"].isna().tolist() == [True, True, False]
    assert table["language"].tolist() == table["transcript"].tolist() == [None] * 3
    messages = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert any("beep.wav: No speech" in text for text in messages) and any(
        "text.wav: This is" in text for text in messages
    )
    with pytest.raises(NoSpeech):
        process_folder(tmp_path, transcribe=False, analyzer=analyzer, errors="raise")


def test_a_part_that_does_not_exist_is_refused(analyzer: Analyzer) -> None:
    with pytest.raises(InvalidAudio, match="no part from 50 s"):
        process_file(DOGS, start=50, analyzer=analyzer)
    with pytest.raises(InvalidAudio, match="no folder"):
        process_folder("nowhere", analyzer=analyzer)


def test_no_files_are_an_empty_table(analyzer: Analyzer) -> None:
    assert process_files([], analyzer=analyzer).empty
