"""The whole way from a recording to an answer, on the shipped weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Analysis, Analyzer, Settings
from ser_engine.data.corpora import registry
from ser_engine.errors import InvalidSettings, NoSpeech, WeightsUnavailable
from ser_engine.labels import EMOTIONS
from ser_engine.models import trained_on
from ser_engine.settings import PROJECT
from ser_engine.types import STAGES
from tests.speech import RATE, encode, silence, speech, speech_wav, tone

SENTENCE = "Dogs are sitting by the door."
TWO = "Kids are talking by the door. I wonder what this is about."


@pytest.fixture(scope="module")
def short(analyzer: Analyzer) -> Analysis:
    return analyzer.analyze(speech_wav(SENTENCE), name="dogs.wav")


@pytest.fixture(scope="module")
def long(analyzer: Analyzer) -> Analysis:
    """Two sentences, and four seconds of silence before the third."""
    samples = np.concatenate([speech(TWO), silence(4), speech(SENTENCE, "woman")])
    return analyzer.analyze(encode(samples), name="long.wav", transcribe=False)


# --- the answer


def test_a_recording_becomes_words_and_probabilities(short: Analysis) -> None:
    assert short.file == "dogs.wav"
    assert short.transcript is not None
    assert short.transcript.text == SENTENCE
    assert short.transcript.language == "en"
    assert short.scores.labels == EMOTIONS
    assert np.isfinite(short.scores.probabilities).all()
    assert (short.scores.probabilities >= 0).all()
    assert short.scores.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert short.model == (PROJECT / "models" / "DEFAULT").read_text(encoding="utf-8").strip()


def test_words_that_say_nothing_of_an_emotion_leave_the_voice_alone(short: Analysis) -> None:
    assert set(short.modalities) == {"audio", "fused"}
    np.testing.assert_array_equal(short.scores.probabilities, short.modalities["audio"].probabilities)


def test_words_that_say_much_of_one_count(analyzer: Analyzer, short: Analysis) -> None:
    moved = analyzer.rescore(short, "I hate you, get out of here!")
    assert moved.modalities["text"].top == "angry"
    audio, fused = (scores.to_dict()["angry"] for scores in (short.scores, moved.scores))
    assert fused / (1 - fused) > 2 * audio / (1 - audio)
    np.testing.assert_array_equal(moved.modalities["audio"].probabilities, short.scores.probabilities)


def test_the_json_has_the_agreed_keys(short: Analysis) -> None:
    answer = json.loads(json.dumps(short.to_dict(), allow_nan=False))
    assert set(answer) == {
        "file", "model", "scores", "top", "sure", "modalities", "transcript", "unmeasured_languages",
        "model_languages", "timeline", "quality", "baseline_s", "seconds",
    }  # fmt: skip
    assert set(answer["scores"]) == set(EMOTIONS)
    assert answer["top"] == max(answer["scores"], key=answer["scores"].__getitem__)
    assert {"text", "language", "engine", "segments"} <= set(answer["transcript"])
    assert {"duration_s", "speech_s", "sample_rate", "snr_db", "clipping", "warnings"} <= set(answer["quality"])
    assert set(answer["seconds"]) == {"decode", "clean", "transcribe", "classify", "total"}
    assert answer["timeline"] == []


def test_a_model_that_says_from_where_on_it_is_sure_is_taken_at_its_word(
    analyzer: Analyzer, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "unsure"
    shutil.copytree(PROJECT / "models" / analyzer.model.id, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["measured"]["not_sure"] = {"below": 0.999, "coverage": 0.8, "accuracy": 0.9, "without": 0.8}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    recording, other = tmp_path / "dogs.wav", speech_wav(TWO)
    recording.write_bytes(speech_wav(SENTENCE))
    trained_on.write_digests(folder, [recording])
    doubtful = Analyzer(replace(settings, model=str(folder)))
    found = doubtful.analyze(recording, transcribe=False)
    assert found.threshold == 0.999 and found.sure is False and found.to_dict()["sure"] is False
    assert found.quality.warnings[0] == trained_on.WARNING == found.speech.quality.warnings[0]
    assert doubtful.analyze(recording.read_bytes(), transcribe=False).quality.warnings[0] == trained_on.WARNING
    assert trained_on.WARNING not in doubtful.analyze(other, transcribe=False).quality.warnings
    del config["measured"]["not_sure"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / trained_on.FILE).write_bytes(b"cut")
    plain = Analyzer(replace(settings, model=str(folder))).analyze(recording, transcribe=False)
    assert plain.sure is None and trained_on.WARNING not in plain.quality.warnings


def test_the_stages_take_time_and_add_up(short: Analysis) -> None:
    stages = [short.seconds[stage] for stage in STAGES]
    assert min(stages) >= 0
    assert sum(stages) <= short.seconds["total"] < sum(stages) + 0.5


def test_progress_is_told_as_it_happens(analyzer: Analyzer) -> None:
    told: list[tuple[str, float | None]] = []
    analysis = analyzer.analyze(speech_wav(), transcribe=False, progress=lambda *now: told.append(now))
    assert [stage for stage, _ in told] == [stage for stage in STAGES for _ in range(2)]
    assert [seconds for _, seconds in told[::2]] == [None] * 4
    assert dict(told[1::2]) == {stage: analysis.seconds[stage] for stage in STAGES}


def test_a_stage_that_fails_is_not_told_to_be_done(analyzer: Analyzer) -> None:
    told: list[tuple[str, float | None]] = []
    with pytest.raises(NoSpeech):
        analyzer.analyze(encode(tone(2)), progress=lambda *now: told.append(now))
    assert [(stage, seconds is None) for stage, seconds in told] == [
        ("decode", True),
        ("decode", False),
        ("clean", True),
    ]


def test_a_path_names_itself_unless_a_name_is_given(analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "dogs.wav"
    path.write_bytes(speech_wav())
    assert analyzer.analyze(path, transcribe=False).file == "dogs.wav"
    assert analyzer.analyze(str(path), name="a call", transcribe=False).file == "a call"


def test_words_are_left_out_when_they_are_not_wanted(analyzer: Analyzer, settings: Settings, short: Analysis) -> None:
    silent = Analyzer(replace(settings, transcribe=False)).analyze(speech_wav(SENTENCE))
    for analysis in (silent, analyzer.analyze(speech_wav(SENTENCE), transcribe=False)):
        assert analysis.transcript is None
        assert analysis.to_dict()["transcript"] is None
        assert analysis.scores.to_dict() == pytest.approx(short.scores.to_dict(), abs=1e-5)


def test_the_same_voice_in_another_container_gets_the_same_answer(analyzer: Analyzer, short: Analysis) -> None:
    for data in (
        encode(speech(SENTENCE), RATE, "FLAC"),
        encode(speech(SENTENCE), RATE, codec="FLOAT"),
        encode(np.stack([speech(SENTENCE)] * 2, axis=1)),
        encode(0.2 * speech(SENTENCE), RATE, codec="FLOAT"),
    ):
        scores = analyzer.analyze(data, transcribe=False).scores
        np.testing.assert_allclose(scores.probabilities, short.scores.probabilities, atol=0.02)


# --- the timeline


@pytest.mark.parametrize(("seconds", "expected"), [(5.9, False), (6.0, False), (6.1, True)])
def test_only_more_than_six_seconds_have_a_timeline(seconds: float, expected: bool, analyzer: Analyzer) -> None:
    samples = speech(TWO)
    samples = np.concatenate([samples, silence(1)])[: round(seconds * RATE)]
    assert bool(analyzer.analyze(encode(samples), transcribe=False).timeline) == expected


def test_the_windows_overlap_and_cover_the_speech(long: Analysis) -> None:
    windows = long.timeline
    assert len(windows) >= 4
    for window in windows:
        assert 0 <= window.start < window.end <= long.quality.duration_s + 1e-6
        assert window.scores.probabilities.sum() == pytest.approx(1, abs=1e-5)
    for earlier, later in pairwise(windows):
        assert earlier.start < later.start
    assert windows[1].start < windows[0].end
    for span in long.speech.segments:
        for moment in np.linspace(span.start + 0.2, span.end - 0.2, 9):
            assert any(window.start <= moment <= window.end for window in windows)


def test_each_window_abstains_like_a_recording(long: Analysis) -> None:
    assert long.threshold is not None
    for window in long.timeline:
        assert window.sure == (window.scores.probabilities.max() >= long.threshold)
        assert window.sure == replace(long, scores=window.scores).sure


def test_no_window_lies_in_silence(long: Analysis) -> None:
    quiet = [(a.end, b.start) for a, b in zip(long.speech.segments, long.speech.segments[1:], strict=False)]
    start, end = max(quiet, key=lambda pause: pause[1] - pause[0])
    assert end - start > 4
    assert not [window for window in long.timeline if window.start >= start - 0.3 and window.end <= end + 0.3]


def test_the_whole_is_the_windows_mean_by_their_speech(long: Analysis) -> None:
    weights = [len(long.speech.between(window.start, window.end)) for window in long.timeline]
    mean = np.average([window.scores.probabilities for window in long.timeline], axis=0, weights=weights)
    np.testing.assert_allclose(long.scores.probabilities, mean, atol=1e-5)


def test_a_window_is_scored_like_a_recording_of_its_own(analyzer: Analyzer, long: Analysis) -> None:
    window = long.timeline[0]
    alone = replace(long.speech, samples=long.speech.between(window.start, window.end))
    (prediction,) = analyzer.model.predict([alone])
    np.testing.assert_allclose(prediction.scores.probabilities, window.scores.probabilities, atol=1e-5)


def test_one_sentence_in_a_long_silence_is_judged(analyzer: Analyzer) -> None:
    analysis = analyzer.analyze(encode(np.concatenate([silence(7), speech()[:16_000], silence(7)])), transcribe=False)
    assert analysis.scores.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert all(window.end > 6 and window.start < 9 for window in analysis.timeline)


# --- threads, models, settings


def test_threads_get_the_answers_that_they_would_get_alone(analyzer: Analyzer) -> None:
    kinds = [("Kids are talking by the door.", "man"), ("I wonder what this is about.", "woman"), (SENTENCE, "man")]
    clips = [speech_wav(*kind) for kind in kinds]
    alone = [answer(analyzer.analyze(clip)) for clip in clips]
    assert len({words for words, _ in alone}) == 3
    turns = [0, 1, 2, 0]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda i: answer(analyzer.analyze(clips[i])), turns))
    for turn, (words, probabilities) in zip(turns, together, strict=True):
        assert words == alone[turn][0]
        np.testing.assert_allclose(probabilities, alone[turn][1], atol=1e-4)


def answer(analysis: Analysis) -> tuple[str, Sequence[float]]:
    assert analysis.transcript is not None
    return analysis.transcript.text, analysis.scores.probabilities.tolist()


def test_threads_that_come_first_share_one_model(settings: Settings) -> None:
    fresh = Analyzer(settings)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: fresh.model, range(4)))
        transcribers = list(pool.map(lambda _: fresh.transcriber, range(4)))
    assert len({id(model) for model in models}) == len({id(transcriber) for transcriber in transcribers}) == 1


def test_warming_up_leaves_nothing_to_load(settings: Settings) -> None:
    fresh = Analyzer(replace(settings, transcribe=False))
    fresh.warm_up()
    assert fresh._model is not None
    assert fresh._transcriber is None  # nobody asked for words


@pytest.mark.parametrize("words", [False, True])
def test_warming_up_runs_whisper_where_words_are_wanted(settings: Settings, words: bool) -> None:
    fresh = Analyzer(replace(settings, words=words))
    fresh.warm_up()
    assert fresh._transcriber is not None


def test_a_model_that_is_not_there_is_told(settings: Settings) -> None:
    nowhere = Analyzer(replace(settings, model="oracle"))
    with pytest.raises(WeightsUnavailable, match="no emotion model “oracle”"):
        nowhere.analyze(speech_wav(), transcribe=False)
    with pytest.raises(WeightsUnavailable, match="oracle"):
        nowhere.card()


@pytest.mark.parametrize("language", ["xx", "yue", "german"])
def test_a_language_that_whisper_does_not_know_is_told(language: str, settings: Settings) -> None:
    with pytest.raises(InvalidSettings, match=language):
        Analyzer(replace(settings, language=language)).analyze(speech_wav())


def test_a_language_in_capitals_is_meant_all_the_same(settings: Settings) -> None:
    assert Analyzer(replace(settings, language="DE")).transcriber.language == "de"
    assert Analyzer(settings).transcriber.language is None


def test_the_card_is_what_the_models_folder_says(analyzer: Analyzer, settings: Settings) -> None:
    folder = settings.models_dir / analyzer.model.id
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = analyzer.card()
    known = {key: config[key] for key in ("id", "architecture", "labels", "corpora")}
    assert card == {**known, **config["measured"]}


def test_the_cards_text_is_there_for_people(analyzer: Analyzer, settings: Settings, tmp_path: Path) -> None:
    cards = analyzer.cards()
    assert list(cards) == ["voice-and-words", "whisper-base-tuned", "whisper-base-heads", "goemotions-minilm"]
    assert all(text.startswith(f"# {name}") and "license:" not in text for name, text in cards.items())
    folder = settings.models_dir / "whisper-base-heads"
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    other = Analyzer(replace(settings, model=str(tmp_path)))
    assert other.cards() == {}
    (tmp_path / "README.md").write_text("Plain words.\n", encoding="utf-8")
    assert other.cards() == {tmp_path.name: "Plain words."}


def test_importing_the_engine_loads_no_model_library() -> None:
    heavy = "{'torch', 'whisper', 'transformers', 'librosa', 'noisereduce', 'silero_vad', 'streamlit'}"
    code = f"import sys, ser_engine, ser_engine.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- real recordings

CLIPS = {
    "ravdess": ("03-01-01-01-01-01-01", "Kids are talking by the door."),
    "cremad": ("1010_IWW_NEU_XX", "I wonder what this is about."),
    "tess": ("YAF_dog_happy", "Say the word dog."),
}


@pytest.mark.corpora
@pytest.mark.parametrize("corpus", CLIPS)
def test_a_real_clip_gives_its_sentence(corpus: str, analyzer: Analyzer, ser_data: Path) -> None:
    name, sentence = CLIPS[corpus]
    utterance = next(u for u in registry.read_corpus(corpus, ser_data) if u.name == name)
    analysis = analyzer.analyze(utterance.path)
    assert analysis.transcript is not None
    assert (utterance.sentence, analysis.transcript.text) == (sentence, sentence)
    assert analysis.transcript.language == "en"
    assert analysis.quality.speech_s > 0.5
