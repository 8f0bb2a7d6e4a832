"""Models of any kind on the page: chosen by a person, with labels of their own, with three modalities."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.speech import speech_wav
from tests.tiny_models import FOREIGN, write_models
from tests.ui.listen.test_page import PROJECT, headings, healthy, result, session, upload
from tests.ui.page_text import text
from ui import engine, wording
from ui.listen import downloads
from ui.listen import wording as sentences

VOICE, FROZEN, OPEN = "whisper-base-tuned", "whisper-base-heads", "voice-open"
DOGS, OTHERS = "Dogs are sitting by the door.", "kids are talking it is eleven"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, let_threads_end: Callable[[], None]) -> Iterator[Path]:
    """Let the page find tiny models next to the shipped ones."""
    folder = write_models(tmp_path_factory.mktemp("tiny") / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_MODELS_DIR", str(folder))
        st.cache_resource.clear()
        yield folder
        let_threads_end()
        st.cache_resource.clear()


@pytest.fixture
def page(models: Path) -> AppTest:
    return AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()


def choose(page: AppTest, model: str) -> AppTest:
    return page.selectbox(key="model").set_value(model).run()


def test_there_is_no_choice_where_there_is_one_model(let_threads_end: Callable[[], None]) -> None:
    st.cache_resource.clear()
    others = [name for name in engine.choices() if name]
    page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()
    assert bool(page.selectbox) == bool(others)
    let_threads_end()
    st.cache_resource.clear()


def test_the_default_comes_first_and_is_named(models: Path) -> None:
    assert engine.choices() == ("", "tiny-foreign", "tiny-words", OPEN, FROZEN, VOICE)
    assert engine.title("") == (models / "DEFAULT").read_text().strip()
    assert engine.analyzer("") is engine.analyzer("") is not engine.analyzer("tiny-words")


def test_another_model_answers_for_the_same_recording_and_its_words_count(page: AppTest) -> None:
    choose(page, VOICE)
    upload(page, "dogs.wav", speech_wav(DOGS))
    first = result(page).analysis
    assert "Audio and text" not in headings(page) and "eight emotions" in text(page)
    choose(page, "tiny-words")
    second = result(page).analysis
    assert healthy(page) and not page.error
    assert (second.model, second.file) == ("tiny-words", first.file) and second.modalities
    assert "Audio and text" in headings(page) and "modalities" in result(page).figures
    assert sentences.influence(second.modalities) in text(page).replace("&#x27;", "'")
    table = next(table.value for table in page.table if "By text" in table.value)
    best, share = second.modalities["text"].ranked()[0]
    assert dict(zip(table["Emotion"], table["By text"], strict=True))[best.capitalize()] == wording.percent(share)
    # Sentences about the bundled model are absent.
    assert "about a hundred actors" not in text(page) and "1 in 8" not in text(page)

    page.text_area[0].set_value(OTHERS).run()
    expected = engine.analyzer("tiny-words").rescore(second, OTHERS)
    shown = result(page).current
    assert healthy(page) and result(page).analysis is second
    assert shown.scores.to_dict() == pytest.approx(expected.scores.to_dict(), abs=1e-5)
    assert shown.scores.to_dict() != pytest.approx(second.scores.to_dict(), abs=0.01)
    assert wording.headline(expected.scores) in headings(page) and "scored again" in text(page)
    assert sentences.influence(expected.modalities) in text(page)

    taken = json.loads(downloads.to_json(second, OTHERS, shown))
    assert taken["scores"] == shown.scores.to_dict() and taken["modalities"]["fused"] == taken["scores"]
    assert (taken["transcript"]["text"], taken["transcript"]["original"]) == (OTHERS, DOGS)
    rows = list(csv.DictReader(io.StringIO(downloads.to_csv(second, OTHERS, shown).removeprefix("\ufeff"))))
    assert float(rows[0]["probability"]) == pytest.approx(shown.scores.ranked()[0][1], abs=1e-5)
    assert rows[0]["transcript_edited"] == "yes"

    page.text_area[0].set_value(DOGS).run()
    assert result(page).rescored is None and wording.headline(second.scores) in headings(page)


def test_the_about_page_speaks_of_the_model_that_was_chosen(page: AppTest) -> None:
    choose(page, "tiny-words")
    page.switch_page("pages/about.py").run()
    assert healthy(page) and "has not been measured" in text(page) and "hidden states" not in text(page)
    assert not any("Corpus" in table.value for table in page.table)
    assert session(page).model == "tiny-words"


def test_labels_of_others_are_shown_as_they_are(page: AppTest) -> None:
    choose(page, "tiny-foreign")
    upload(page, "dogs.wav", speech_wav(DOGS))
    assert healthy(page) and not page.error
    labels = result(page).analysis.scores.labels
    assert set(labels) == {"happy", *FOREIGN[:3]}
    (bars,) = result(page).figures["emotions"].data
    assert not any("<b>bold" in label for label in bars.y) and any("&lt;b&gt;bold" in label for label in bars.y)
    cells = list(page.table[0].value["Label"])
    assert {"Happy", "LABEL_3"} < set(cells) and r"\<b>bold\</b> \& :" + "\u2060" + r"red\[red\]" in cells
    assert "<b>bold" not in "".join(element.proto.body for element in page.get("html"))
    assert "four labels" in text(page)


def test_a_broken_model_is_one_sentence_and_the_others_go_on(models: Path, page: AppTest) -> None:
    broken = models / "tiny-broken"
    broken.mkdir()
    (broken / "config.json").write_text((models / "tiny-foreign" / "config.json").read_text())
    try:
        page.run()
        choose(page, "tiny-broken")
        upload(page, "dogs.wav", speech_wav(DOGS))
        (said,) = (error.value for error in page.error)
        assert "tiny-broken" in said and said.endswith(".") and healthy(page)
        choose(page, "tiny-foreign")
        upload(page, "dogs.wav", speech_wav(DOGS))
        assert not page.error and result(page).analysis.model == "tiny-foreign"
    finally:
        for file in broken.iterdir():
            file.unlink()
        broken.rmdir()
    page.run()  # its folder is gone, and nothing breaks
    assert healthy(page)


@pytest.mark.parametrize("named", ["hf:tiny-foreign", "the folder"])
def test_the_settings_may_name_any_model(
    named: str, models: Path, monkeypatch: pytest.MonkeyPatch, let_threads_end: Callable[[], None]
) -> None:
    monkeypatch.setenv("SER_MODEL", named if named.startswith("hf:") else str(models / "tiny-foreign"))
    st.cache_resource.clear()
    assert engine.title("") == "tiny-foreign" and engine.choices() == (
        "",
        "tiny-words",
        "voice-and-words",
        OPEN,
        FROZEN,
        VOICE,
    )
    page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()
    upload(page, "dogs.wav", speech_wav(DOGS))
    assert healthy(page) and not page.error and result(page).analysis.model == "tiny-foreign"
    let_threads_end()
    st.cache_resource.clear()
