"""The page's states, run in process with the real engine."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from ser_engine import Analysis, Analyzer, Settings
from ser_engine.errors import SerError, WeightsUnavailable
from tests.speech import encode, foreign, speech_wav
from tests.ui.page_text import text
from ui import wording
from ui.listen import downloads
from ui.listen.job import UNEXPECTED
from ui.session import Recording, Result, Session

PROJECT = Path(__file__).resolve().parents[3]
NOT_AUDIO = b"%PDF-1.7\n" + b"Not a recording at all. " * 50


@pytest.fixture(scope="module")
def speech() -> bytes:
    return speech_wav("Dogs are sitting by the door.")


@pytest.fixture(scope="module")
def long_speech() -> bytes:
    return speech_wav("Kids are talking by the door. Dogs are sitting by the door. " * 3)


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    """Return an engine of the test's own, to compare with what the page says."""
    return Analyzer()


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()


def upload(page: AppTest, name: str, data: bytes) -> AppTest:
    return page.file_uploader(key="upload").set_value((name, data, "audio/wav")).run()


def session(page: AppTest) -> Session:
    return page.session_state["session"]


def result(page: AppTest) -> Result:
    shown = session(page).result
    assert shown is not None
    return shown


def headings(page: AppTest) -> list[str]:
    return [header.value for header in page.header]


def charts(page: AppTest) -> set[str]:
    return set(result(page).figures)


def healthy(page: AppTest) -> bool:
    return not page.exception and "Traceback" not in text(page)


def test_an_empty_page_asks_for_a_recording_and_promises_an_answer(page: AppTest) -> None:
    assert healthy(page) and not page.error
    assert page.title[0].value == "What does this voice sound like?"
    assert page.file_uploader(key="upload").value == []
    assert text(page).count('class="waiting"') == 4
    assert "A probability for each" in text(page) and not page.text_area


def test_the_first_paint_waits_for_no_model() -> None:
    script = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        "page = AppTest.from_file('app.py', default_timeout=120).run();"
        "heavy = {'torch', 'whisper', 'librosa', 'silero_vad', 'noisereduce'} & set(sys.modules);"
        "assert page.title and not page.exception, page; assert not heavy, heavy;"
        # Leave at once: at an orderly end the warm-up, which has begun by now, would be cut off noisily.
        "sys.stdout.flush(); import os; os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_recording_is_answered_as_the_engine_answers_it(page: AppTest, speech: bytes, analyzer: Analyzer) -> None:
    upload(page, "dogs.wav", speech)
    expected = analyzer.analyze(speech, name="dogs.wav")
    assert healthy(page) and not page.error
    assert wording.headline(expected.scores, expected.threshold) in headings(page)
    assert wording.explanation(expected.scores, expected.threshold) in text(page)
    assert expected.transcript is not None and expected.transcript.text
    assert page.text_area[0].value == expected.transcript.text
    assert list(page.table[0].value["Emotion"]) == [label.capitalize() for label, _ in expected.scores.ranked()]
    assert text(page).count('class="done"') == 4


def test_a_short_recording_has_no_timeline_a_long_one_has(page: AppTest, speech: bytes, long_speech: bytes) -> None:
    upload(page, "short.wav", speech)
    assert "timeline" not in charts(page) and "Over time" not in text(page)
    upload(page, "long.wav", long_speech)
    assert healthy(page)
    assert "timeline" in charts(page) and "Over time" in text(page)
    assert len(page.table[-1].value) == len(result(page).analysis.timeline) > 1


def test_an_answer_is_explained_only_where_it_is_asked_for(
    page: AppTest, long_speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(page, "long.wav", long_speech)
    assert result(page).explanation is None and not page.exception
    page.toggle(key="explain").set_value(True).run()
    explanation = result(page).explanation
    assert healthy(page) and explanation is not None
    assert explanation.label == result(page).analysis.scores.top
    assert f"weighed for {explanation.label}" in text(page) and "occlusion" in text(page)
    page.run()
    assert result(page).explanation is explanation
    page.text_area[0].set_value("I am so happy to see you, this is wonderful!").run()
    assert healthy(page) and result(page).explanation not in (None, explanation)

    def refuse(*_: object) -> None:
        raise WeightsUnavailable("The model is gone.")

    monkeypatch.setattr(Analyzer, "explain", refuse)
    page.text_area[0].set_value("I am so sad.").run()
    assert [error.value for error in page.error] == ["The model is gone."] and healthy(page)


def test_a_bad_file_gets_its_one_sentence_and_a_good_one_after_it_its_answer(
    page: AppTest, speech: bytes, analyzer: Analyzer
) -> None:
    with pytest.raises(SerError) as refusal:
        analyzer.analyze(NOT_AUDIO, name="letter.wav")
    upload(page, "letter.wav", NOT_AUDIO)
    assert [error.value for error in page.error] == [str(refusal.value)]
    assert healthy(page) and not page.text_area
    upload(page, "dogs.wav", speech)
    assert healthy(page) and not page.error and page.text_area[0].value


def test_a_bad_file_leaves_the_earlier_answer_and_says_whose_it_is(page: AppTest, speech: bytes) -> None:
    upload(page, "dogs.wav", speech)
    before = result(page).analysis
    upload(page, "letter.wav", NOT_AUDIO)
    assert (
        page.error
        and wording.headline(before.scores, before.threshold) in headings(page)
        and result(page).analysis is before
    )
    assert "The result for dogs.wav is still shown below" in text(page)


def test_a_failure_nobody_foresaw_is_one_sentence_too(
    page: AppTest, speech: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import soundfile

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a library is broken in a new way")

    monkeypatch.setattr(soundfile, "SoundFile", broken)
    upload(page, "dogs.wav", speech)
    assert [error.value for error in page.error] == [UNEXPECTED] and healthy(page)
    assert "broken in a new way" not in text(page) and "broken in a new way" in caplog.text


def test_corrected_words_stay_and_run_no_engine(page: AppTest, speech: bytes) -> None:
    upload(page, "dogs.wav", speech)
    before = result(page).analysis
    page.text_area[0].set_value("Frogs are sitting by the door.").run()
    page.run()
    assert healthy(page) and page.text_area[0].value == "Frogs are sitting by the door."
    assert result(page).analysis is before
    assert "Edited by you" in text(page)
    taken = json.loads(downloads.to_json(before, result(page).words))
    assert taken["transcript"]["text"] == "Frogs are sitting by the door." and taken["transcript"]["edited"]


def test_the_same_file_again_runs_no_engine_another_does(page: AppTest, speech: bytes, long_speech: bytes) -> None:
    upload(page, "dogs.wav", speech)
    before = result(page).analysis
    upload(page, "copy.wav", speech)
    assert result(page).analysis is before
    upload(page, "other.wav", long_speech)
    assert result(page).analysis is not before and result(page).analysis.file == "other.wav"


def test_a_spoken_recording_is_answered_and_its_correction_belongs_to_it(page: AppTest, speech: bytes) -> None:
    session(page).give(Recording(speech, "Your recording.wav"))
    page.run()
    assert healthy(page) and result(page).analysis.file == "Your recording.wav"


def show(page: AppTest, changed: Analysis) -> None:
    """Let the page show an answer again, with something about it changed."""
    shown = result(page)
    other = Recording(b"changed", "a.wav")
    session(page).result = dataclasses.replace(shown, analysis=changed, recording=other, words="", offered="")
    page.run()


def test_no_words_are_said_to_be_none(page: AppTest, speech: bytes) -> None:
    upload(page, "dogs.wav", speech)
    analysis = result(page).analysis
    assert analysis.transcript is not None
    wordless = dataclasses.replace(analysis.transcript, text="", language=None, segments=(), confidence=0.0)
    show(page, dataclasses.replace(analysis, transcript=wordless))
    assert healthy(page) and "No words were recognized." in text(page) and page.text_area[0].value == ""


def test_quality_warnings_are_shown_or_said_to_be_none(page: AppTest, speech: bytes) -> None:
    upload(page, "dogs.wav", speech)
    analysis = result(page).analysis
    for warnings in ((), ("It is quiet.", "It is clipped.")):
        show(page, dataclasses.replace(analysis, quality=dataclasses.replace(analysis.quality, warnings=warnings)))
        assert ("No problems found." in text(page)) == (not warnings)
        assert all(warning in text(page) for warning in warnings)


def test_what_is_forgotten_is_gone(page: AppTest, speech: bytes) -> None:
    upload(page, "dogs.wav", speech)
    next(button for button in page.button if button.label == "Discard this recording").click().run()
    assert healthy(page) and session(page).result is None and "A probability for each" in text(page)


def test_the_measured_accuracy_stands_beside_the_answer(page: AppTest, speech: bytes, analyzer: Analyzer) -> None:
    measured = wording.accuracy(analyzer.card())
    upload(page, "dogs.wav", speech)
    assert "What these numbers can and cannot mean" in text(page)
    assert measured is not None and measured in text(page)


def test_words_that_are_corrected_show_what_they_move(page: AppTest, speech: bytes) -> None:
    upload(page, "dogs.wav", speech)
    assert "Audio and text" in headings(page)
    assert not any(wording.MODALITIES["text"] in table.value for table in page.table)
    page.text_area[0].set_value("I hate you, get out of here!").run()
    assert healthy(page) and "scored again" in text(page)
    (table,) = (table.value for table in page.table if wording.MODALITIES["text"] in table.value)
    (angry,) = (row for row in table.to_dict("records") if row["Emotion"] == "Angry")
    audio, fused = (int(angry[column].rstrip("%")) for column in ("By audio", "Combined"))
    assert fused > audio


def test_about_quotes_the_card_and_the_licenses(analyzer: Analyzer) -> None:
    about = AppTest.from_file(str(PROJECT / "pages" / "about.py"), default_timeout=60).run()
    card = analyzer.card()
    assert healthy(about) and card is not None
    assert f"{card['UA']:.1f}%" in list(about.table[0].value["Accuracy on unseen speakers"])
    measured, corpora = (set(about.table[i].value[column]) for i, column in enumerate(("Test corpus", "Corpus")))
    assert len(measured) == 1 + len(card["per_corpus"])
    # Each corpus stands there by its title, not by the key that the card has for it.
    assert measured - corpora == {"All corpora"} and not measured & set(card["per_corpus"])
    assert "non-commercial" in text(about)
    cards = {expander.label: expander.markdown[0].value for expander in about.expander}
    assert all(name in label for name, label in zip(analyzer.cards(), cards, strict=True))
    whole = next(iter(cards.values()))
    assert "2024/1689" in whole and "whisper-base-tuned" in whole
    assert not any(re.search(r"^# |\]\(\.\.", card, re.MULTILINE) for card in cards.values())
    assert "second model" in text(about)
    assert f"Whisper *{Settings().whisper}* transcribes" in text(about)


def test_two_sessions_keep_their_own_answers(speech: bytes, long_speech: bytes) -> None:
    pages = [AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run() for _ in range(2)]
    upload(pages[0], "short.wav", speech)
    upload(pages[1], "long.wav", long_speech)
    pages[0].run()
    assert [result(page).analysis.file for page in pages] == ["short.wav", "long.wav"]


def test_without_transcription_the_feelings_stand_alone(speech: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_TRANSCRIBE", "no")
    st.cache_resource.clear()
    try:
        page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()
        upload(page, "dogs.wav", speech)
        assert healthy(page) and not page.text_area and "Transcription is turned off." in text(page)
    finally:
        st.cache_resource.clear()


def test_a_setting_that_means_nothing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_MAX_SECONDS", "many")
    st.cache_resource.clear()
    try:
        page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=60).run()
        assert not page.exception and "SER_MAX_SECONDS" in page.error[0].value
    finally:
        st.cache_resource.clear()


def test_another_language_is_chosen_next_to_the_transcript_and_its_words_are_no_edit(
    page: AppTest, speech: bytes
) -> None:
    upload(page, "dogs.wav", speech)
    choice = page.selectbox(key="language")
    assert choice.value == "" and choice.options[0] == "Detect" and "German" in choice.options
    choice.set_value("de").run()
    shown = result(page)
    assert shown.analysis.transcript is not None and shown.analysis.transcript.languages == ("de",)
    assert not shown.edited and shown.words == shown.analysis.transcript.text
    assert healthy(page) and "Language: German." in text(page)


def test_a_language_in_which_the_model_was_not_measured_is_named_beside_the_headline(page: AppTest) -> None:
    upload(page, "french.wav", encode(foreign("fr")))
    assert healthy(page) and "The emotion model was never measured on French." in text(page)
