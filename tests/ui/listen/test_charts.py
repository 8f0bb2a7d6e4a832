"""Charts show the values of an analysis, stay small for long recordings, and need no color."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest

from ser_engine import Settings
from ser_engine.audio.decode import encode_wav, load_audio
from ser_engine.types import Recording, Scores, SourceInfo, Span, TimelineWindow
from ui.charts import time_axis
from ui.listen import charts
from ui.listen.overview import MAX_COLUMNS, MAX_POINTS, MEL_BANDS, Overview, playable
from ui.theme import ACCENT, GRAY
from ui.wording import MODALITIES

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
BACKGROUNDS = ("#fbfaf7", "#14181b")


def scores(**strong: float) -> Scores:
    """Make scores in which the named emotions have the given probabilities and the others share the rest."""
    rest = (1 - sum(strong.values())) / (len(LABELS) - len(strong))
    return Scores(LABELS, np.array([strong.get(label, rest) for label in LABELS], np.float32))


def recording(samples: np.ndarray, rate: int) -> Recording:
    return Recording(samples.astype(np.float32), rate, SourceInfo("a.wav", "WAV", "PCM_16", 1, rate, 0))


def tone(hz: float, seconds: float, rate: int = 16_000) -> Recording:
    return recording(0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate), rate)


def plain(text: str) -> str:
    return text.replace("<b>", "").replace("</b>", "")


def test_bars_are_sorted_and_each_has_its_value_written_out() -> None:
    (bars,) = charts.emotion_bars(scores(sad=0.5, angry=0.3)).data
    assert [plain(label) for label in bars.y[:2]] == ["Sad", "Angry"]
    assert list(bars.x) == sorted(bars.x, reverse=True)
    assert [plain(text) for text in bars.text[:3]] == ["50%", "30%", "3%"]
    assert len(bars.y) == len(LABELS)


def test_the_top_bar_stands_out_by_weight_not_by_color_alone() -> None:
    (bars,) = charts.emotion_bars(scores(sad=0.5)).data
    assert bars.y[0].startswith("<b>") and bars.text[0].startswith("<b>")
    assert [color == ACCENT for color in bars.marker.color] == [True] + [False] * 7


def test_the_bars_axis_does_not_depend_on_the_answer() -> None:
    sure, unsure = charts.emotion_bars(scores(sad=0.99)), charts.emotion_bars(scores(sad=0.2))
    assert sure.layout.xaxis.range == unsure.layout.xaxis.range == (0, 1)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("color", [ACCENT, GRAY])
def test_both_colors_stand_out_on_both_themes(color: str, background: str) -> None:
    assert contrast(color, background) >= 3


def contrast(one: str, other: str) -> float:
    """Contrast ratio as in WCAG 2.2."""

    def luminance(color: str) -> float:
        channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_an_envelope_keeps_a_single_click_of_a_long_recording() -> None:
    samples = np.zeros(1_000_000, np.float32)
    samples[654_321], samples[123_456] = 0.9, -0.7
    overview = Overview.of(recording(samples, 16_000))
    lowest, highest = overview.lowest, overview.highest
    assert len(lowest) == len(highest) == MAX_POINTS
    assert highest.max() == np.float32(0.9) and lowest.min() == np.float32(-0.7)
    assert int(highest.argmax()) == int(654_321 / 1_000_000 * MAX_POINTS)


@pytest.mark.parametrize("length", [1, 2, 1499, 1500, 1501, 4001])
def test_an_envelope_of_any_length_is_whole(length: int) -> None:
    samples = np.random.default_rng(length).normal(size=length).astype(np.float32)
    overview = Overview.of(recording(samples, 16_000))
    lowest, highest = overview.lowest, overview.highest
    assert len(lowest) <= MAX_POINTS
    assert lowest.min() == samples.min() and highest.max() == samples.max()


def test_an_overview_of_parts_is_that_of_the_whole() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000 * 150).astype(np.float32)
    whole, parts = Overview.of(recording(samples, 16_000)), Overview()
    for first, last in pairwise((0, 700_001, 700_017, 1_500_000, len(samples))):
        parts.add(recording(samples[first:last], 16_000), first / 16_000, 150)
    np.testing.assert_array_equal(parts.lowest, whole.lowest)
    np.testing.assert_array_equal(parts.highest, whole.highest)
    np.testing.assert_allclose(parts.power.sum(axis=0), whole.power.sum(axis=0), rtol=0.2)


def test_sound_is_played_as_it_is_or_as_mp3_where_it_is_long() -> None:
    short, long = tone(440, 2), tone(440, 130, 12_000)
    assert Overview.of(short).sound[0] == encode_wav(short.samples, short.rate)
    assert Overview.of(long).sound[1] == "audio/mpeg"
    decoded = load_audio(Overview.of(long).sound[0], Settings())
    assert decoded.source.container == "MP3" and decoded.duration_s == pytest.approx(130, abs=0.2)
    assert len(Overview.of(long).sound[0]) < 1e6
    odd = Overview.of(tone(440, 121, 96_000)).sound[0]
    assert load_audio(odd, Settings()).duration_s == pytest.approx(121, abs=0.2)


def test_only_a_plain_and_complete_wav_file_is_played_itself() -> None:
    data = encode_wav(tone(440, 1).samples, 16_000)
    assert playable(data) and Overview(data).sound == (data, "audio/wav")
    assert not any(map(playable, (data[:-2], data + data, b"ID3" + data, data.replace(b"RIFF", b"RIFX"), b"")))


def test_the_waveform_shades_each_stretch_of_speech() -> None:
    spans = (Span(0.5, 1.0), Span(1.5, 2.75))
    figure = charts.waveform(Overview.of(tone(200, 3)), spans)
    shaded = {(shape.x0, shape.x1) for shape in figure.layout.shapes}
    assert shaded == {(0.5, 1.0), (1.5, 2.75)}
    assert figure.layout.xaxis.range == (0, 3)


@pytest.mark.parametrize("hz", [500, 1000, 3000])
def test_the_spectrogram_shows_a_tone_beside_its_frequency(hz: float) -> None:
    (picture,) = charts.spectrogram(Overview.of(tone(hz, 1))).data
    figure = charts.spectrogram(Overview.of(tone(hz, 1)))
    loudest_row = int(np.asarray(picture.z, float).mean(axis=1).argmax())
    ticks = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    below = ticks[{500: "0.5 kHz", 1000: "1 kHz", 3000: "2 kHz"}[hz]]
    assert loudest_row >= below - 1 and (hz == 3000 or loudest_row <= below + 1)
    assert loudest_row < ticks["4 kHz"]


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("seconds", [0.3, 3, 60])
def test_a_spectrogram_spans_the_recording_in_few_columns(rate: int, seconds: float) -> None:
    noise = recording(np.random.default_rng(0).normal(0, 0.1, int(rate * seconds)), rate)
    (picture,) = charts.spectrogram(Overview.of(noise)).data
    rows, columns = np.asarray(picture.z).shape
    assert rows == MEL_BANDS and columns <= MAX_COLUMNS
    assert picture.x0 + picture.dx * (columns - 0.5) == pytest.approx(seconds)


def test_a_long_spectrogram_shows_when_there_was_sound() -> None:
    samples = np.zeros(16_000 * 120)
    samples[16_000 * 60 :] = tone(1000, 60).samples
    decibels = charts.mel_decibels(Overview.of(recording(samples, 16_000)))
    loud = decibels.max(axis=0) > -20
    assert loud.mean() == pytest.approx(0.5, abs=0.01) and not loud[: len(loud) // 2 - 2].any()


def test_silence_makes_a_spectrogram_without_a_warning() -> None:
    with np.errstate(all="raise"):
        assert np.isfinite(charts.mel_decibels(Overview.of(recording(np.zeros(16_000), 16_000)))).all()


def windows() -> list[TimelineWindow]:
    early, late = scores(angry=0.8), scores(sad=0.9)
    return [TimelineWindow(0, 3, early), TimelineWindow(1.5, 4.5, late), TimelineWindow(3, 6, late)]


def test_the_timeline_has_a_named_row_per_emotion_the_strongest_first() -> None:
    figure = charts.timeline(windows(), 6.0)
    names = [trace.name for trace in figure.data if trace.name]
    assert names[:2] == ["Sad", "Angry"] and len(names) == len(LABELS)
    assert list(figure.layout.yaxis.ticktext) == names


def test_the_timeline_draws_each_window_at_its_middle_as_high_as_its_probability() -> None:
    figure = charts.timeline(windows(), 6.0)
    sad, angry = (next(trace for trace in figure.data if trace.name == name) for name in ("Sad", "Angry"))
    assert list(sad.x) == [0, 1.5, 3.0, 4.5, 6]
    assert sad.text[2] == "90%" and angry.text[1] == "80%"
    heights = np.asarray(sad.y) / np.asarray(sad.y).max()
    assert heights[3] == pytest.approx(1) and heights[1] < 0.1


def test_the_timeline_hatches_where_the_model_is_not_sure() -> None:
    first, *others = windows()
    assert not [trace for trace in charts.timeline([first, *others], 6.0).data if trace.type == "bar"]
    unsure = [replace(first, sure=False), replace(others[0], sure=False), replace(others[1], sure=True)]
    figure = charts.timeline(unsure, 6.0)
    (hatched,) = [trace for trace in figure.data if trace.type == "bar"]
    assert (hatched.x[0] - hatched.width[0] / 2, hatched.x[0] + hatched.width[0] / 2) == (0, 3.75)
    assert hatched.marker.pattern.shape == "/"
    angry = next(trace for trace in figure.data if trace.name == "Angry")
    assert angry.text[1] == "80% (not sure)" and "not sure" not in angry.text[3]


def test_from_a_minute_on_charts_count_minutes() -> None:
    windows = [TimelineWindow(0, 3, scores(sad=0.5)), TimelineWindow(750, 753, scores(sad=0.5))]
    figure = charts.timeline(windows, 1500)
    assert list(figure.layout.xaxis.ticktext) == ["0:00", "5:00", "10:00", "15:00", "20:00"]
    sad = next(trace for trace in figure.data if trace.name == "Sad")
    assert sad.hovertemplate.startswith("%{customdata},") and sad.customdata[1] == "0:01" and "12:31" in sad.customdata
    short = charts.timeline(windows[:1], 6.0)
    assert short.layout.xaxis.ticktext is None and short.layout.xaxis.ticksuffix == " s"
    assert short.data[1].customdata[1] == "1.5 s"


@pytest.mark.parametrize(
    ("seconds", "last"),
    [(60, "0:50"), (185, "2:30"), (610, "8:00"), (3600, "50:00"), (7200, "1:40:00"), (14400, "3:20:00")],
)
def test_a_time_axis_has_a_few_round_ticks(seconds: float, last: str) -> None:
    time_axis(figure := go.Figure(), seconds)
    axis = figure.layout.xaxis
    assert 4 <= len(axis.tickvals) <= 7 and axis.ticktext[0] == "0:00" and axis.ticktext[-1] == last
    assert axis.tickvals[-1] < 0.98 * seconds


def test_silence_between_windows_is_not_hatched() -> None:
    apart = [TimelineWindow(0, 3, scores(sad=0.3), False), TimelineWindow(9, 12, scores(sad=0.3), False)]
    assert charts.unsure_spans(apart) == [Span(0, 3), Span(9, 12)]


def test_a_finger_can_scroll_past_every_chart() -> None:
    figures = [
        charts.emotion_bars(scores(sad=0.5)),
        charts.waveform(Overview.of(tone(200, 1)), ()),
        charts.spectrogram(Overview.of(tone(200, 1))),
        charts.timeline(windows(), 6.0),
    ]
    for figure in figures:
        assert figure.layout.dragmode is False
        assert figure.layout.xaxis.fixedrange and figure.layout.yaxis.fixedrange


FOREIGN = Scores(("0", "1", "<b>x</b> %{y}", "a label that is much too long for a line"), np.full(4, 0.25, np.float32))


def test_labels_of_others_are_names_and_neither_numbers_nor_html() -> None:
    figure = charts.emotion_bars(FOREIGN)
    assert figure.layout.yaxis.type == "category"
    assert [plain(label) for label in figure.data[0].y] == [
        "0", "1", "&lt;b&gt;x&lt;/b&gt; %{y}", "a label that is<br>much too long for<br>a line",
    ]  # fmt: skip
    timeline = charts.timeline([TimelineWindow(0, 3, FOREIGN), TimelineWindow(3, 6, FOREIGN)], 6.0)
    assert all("<b>x" not in (trace.name or "") and "x</b>" not in trace.hovertemplate
               for trace in timeline.data if trace.name)  # fmt: skip


def test_long_labels_get_a_wider_margin_up_to_a_bearable_one() -> None:
    usual, wide = charts.emotion_bars(scores(sad=0.5)), charts.emotion_bars(FOREIGN)
    assert usual.layout.margin.l == 92 < wide.layout.margin.l <= 170
    assert wide.layout.height / 4 >= 3 * 14 * 1.3  # three lines of fourteen pixels have room


def test_of_hundreds_of_labels_the_most_probable_are_drawn() -> None:
    many = Scores(tuple(f"sound {i}" for i in range(500)), np.linspace(0, 1, 500, dtype=np.float32))
    (bars,) = charts.emotion_bars(many).data
    assert len(bars.y) == charts.MOST and plain(bars.y[0]) == "sound 499"
    assert len(charts.timeline([TimelineWindow(0, 3, many)], 3.0).layout.yaxis.ticktext) == charts.MOST


def test_three_modalities_are_three_groups_that_differ_without_color() -> None:
    modalities = {"audio": scores(sad=0.6), "text": scores(happy=0.9), "fused": scores(angry=0.5)}
    figure = charts.modality_bars(modalities)
    assert [bars.name for bars in figure.data] == list(MODALITIES.values())
    for bars, of in zip(figure.data, modalities.values(), strict=True):
        shares = dict(zip((plain(label).lower() for label in bars.y), bars.x, strict=True))
        assert shares == pytest.approx(of.to_dict())
        assert list(bars.text) == [f"{share:.0%}" for share in bars.x]
    assert plain(figure.data[0].y[0]) == "Angry"  # the order is that of the fused scores
    outline, stripes, full = (bars.marker for bars in figure.data)
    assert outline.color == "rgba(0,0,0,0)" and stripes.pattern.shape == "/" and full.pattern.shape is None
    assert len(charts.modality_bars({key: modalities[key] for key in ("audio", "fused")}).data) == 2
