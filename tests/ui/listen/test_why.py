"""The strip of moments and the rows of the voice show what the engine measured."""

from __future__ import annotations

import json

import pytest

from ser_engine.settings import PROJECT
from ser_engine.types import Explanation, Voice, WeightedSpan, WeightedWord
from ui.listen import charts, why
from ui.listen import wording as sentences

VOICE = Voice(182.0, 5.25, 17.0, 4.1)
NONE = Voice(None, None, None, None)
MOMENTS = (WeightedSpan(0.5, 1.0, 0.7), WeightedSpan(1.0, 1.5, 1.4), WeightedSpan(4.0, 4.5, -0.7))


def alpha(color: str) -> float:
    return float(color.rstrip(")").rsplit(",", 1)[1])


def test_the_strip_has_the_seconds_of_the_waveform_and_its_darkest_moment_weighed_most() -> None:
    figure = why.moment_strip(Explanation("angry", MOMENTS, VOICE), 6.0)
    (bars,) = figure.data
    edges = [(x - width / 2, x + width / 2) for x, width in zip(bars.x, bars.width, strict=True)]
    assert edges == [(0.5, 1.0), (1.0, 1.5), (4.0, 4.5)]
    assert figure.layout.xaxis.range == (0, 6.0) and figure.layout.margin.l == charts.LEFT
    assert [alpha(color) for color in bars.marker.color] == [0.67, 1.0, 0.0]
    assert bars.customdata[1] == "1.0 to 1.5 s: without it, the odds of angry fall by a factor of 4.1"
    assert "rise by a factor of 2.0" in bars.customdata[2]


def test_weights_that_hardly_differ_are_all_pale() -> None:
    assert max(map(alpha, why.shades([WeightedSpan(0, 1, 0.81), WeightedSpan(1, 2, 0.8)]))) < 0.1


def test_each_measurement_stands_on_its_axis_with_its_value() -> None:
    figure = why.voice_rows(VOICE)
    written = [annotation.text for annotation in figure.layout.annotations]
    assert [text for text in written if text not in ("men", "women")] == [
        "182 Hz", "5.2 semitones", "17.0 dB", "4.1 peaks/s",
    ]  # fmt: skip
    pitch = why.SCALES["pitch_hz"]
    (low, high, _) = pitch.typical[1]
    assert pitch.place(low) < figure.data[0].x[0] < pitch.place(high)
    assert [pitch.place(value) for value in (1, 60, 400, 4000)] == [0, 0, 1, 1]


def test_typical_ranges_are_the_measured_ones() -> None:
    reading = json.loads((PROJECT / "results" / "explanations.json").read_text(encoding="utf-8"))["reading"]
    for key in ("pitch_range_semitones", "level_range_db", "syllables_per_s"):
        low, _, high = reading[key]
        assert why.SCALES[key].typical == ((low, high, ""),)
    (men, women), (low, _, high) = why.SCALES["pitch_hz"].typical, reading["pitch_hz"]
    assert men[0] < low < men[1] and women[0] < high < women[1]


def test_what_was_not_measured_has_no_mark() -> None:
    assert why.measurements(NONE) == {} and not why.voice_rows(NONE).data


@pytest.mark.parametrize("words", [True, False])
def test_the_caption_names_the_method(words: bool) -> None:
    caption = sentences.occlusion("angry", words)
    assert "occlusion" in caption and "angry" in caption and ("words" in caption) == words


def test_words_are_shaded_by_their_weight_and_written_as_they_are() -> None:
    words = (WeightedWord(0, 4, 2.0), WeightedWord(5, 6, -1.0), WeightedWord(9, 12, 0.5))
    html = why.shaded_words("Glad & a <b>", Explanation("happy", MOMENTS, VOICE, "happy", words))
    assert f"rgba({why.ACCENT_RGB},0.60)" in html and ",0.15)" in html and ",0.00)" in html
    assert "&amp;" in html and "&lt;b&gt;" in html and "<b>" not in html
    assert "without it, the odds of happy fall by a factor of 7.4" in html
