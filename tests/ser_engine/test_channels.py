"""Recordings of several channels through the analyzer, the tables and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Analysis, Analyzer, process_file, process_signal
from ser_engine.cli.main import main
from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech
from ser_engine.settings import Settings
from ser_engine.speakers.lanes import read_turns, rename_speakers
from tests.ser_engine.audio.test_channels import MAN, call
from tests.speech import CALM, RATE, Samples, encode, noise, silence, speech
from tests.tiny_models import heads_analyzer

STEREO = np.stack(call(-25))


@pytest.fixture(scope="module")
def analysis(analyzer: Analyzer) -> Analysis:
    return analyzer.analyze(STEREO, RATE, name="call.wav")


@pytest.fixture
def quick(tmp_path: Path) -> Analyzer:
    """An analyzer on a tiny model that can be calibrated and does not transcribe."""
    return heads_analyzer(tmp_path)


def test_each_side_of_a_call_has_its_own_turns_words_and_answer(analysis: Analysis) -> None:
    left, right = analysis.speakers
    assert [(each.name, each.channel) for each in analysis.speakers] == [("Left", 1), ("Right", 2)]
    assert left.share + right.share == pytest.approx(1)
    turn = len(MAN) / RATE
    assert left.answer.speech.segments[-1].end < turn + 0.5 < right.answer.speech.segments[0].start + 1
    assert left.answer.transcript is not None
    assert right.answer.transcript is not None
    assert "clock" in left.answer.transcript.text
    assert "talking by the door" in right.answer.transcript.text
    # What leaks into the other channel is not transcribed twice.
    assert "clock" not in right.answer.transcript.text
    assert "talking" not in left.answer.transcript.text
    assert left.answer.recording.channels is None
    np.testing.assert_array_equal(left.answer.recording.samples, STEREO[0])
    weights = [each.answer.speech.duration_s for each in analysis.speakers]
    expected = np.average([each.answer.scores.probabilities for each in analysis.speakers], axis=0, weights=weights)
    np.testing.assert_allclose(analysis.scores.probabilities, expected, rtol=1e-5)


def test_the_whole_is_all_lanes_together(analysis: Analysis) -> None:
    assert analysis.recording.channels is None
    np.testing.assert_allclose(analysis.recording.samples, STEREO.mean(axis=0), atol=1e-6)
    spans = [span for each in analysis.speakers for span in each.answer.speech.segments]
    for span in spans:
        assert any(each.start <= span.start and span.end <= each.end for each in analysis.speech.segments)
    assert analysis.speech.recording is not None
    assert len(analysis.speech.recording) == len(STEREO[0])
    assert analysis.speech.duration_s == pytest.approx(
        sum(each.duration_s for each in analysis.speech.segments), abs=0.01
    )


def test_the_json_names_channels_and_speakers(analysis: Analysis) -> None:
    answer = json.loads(json.dumps(analysis.to_dict(), allow_nan=False))
    assert [(each["name"], each["channel"]) for each in answer["speakers"]] == [("Left", 1), ("Right", 2)]
    assert [(each["number"], each["name"], each["used"]) for each in answer["channels"]] == [
        (1, "Left", True), (2, "Right", True),
    ]  # fmt: skip
    lines = answer["transcript"]["text"].splitlines()
    assert lines[0].startswith("Left: ")
    assert lines[-1].startswith("Right: ")


def test_edited_lines_are_those_of_their_speakers(analyzer: Analyzer, analysis: Analysis) -> None:
    assert analysis.transcript is not None
    words = analysis.transcript.text.replace("clock", "flower")
    edited = analyzer.rescore(analysis, words)
    assert edited.transcript is not None
    assert edited.transcript.text == words
    own = [each.answer.transcript for each in edited.speakers]
    assert ["flower" in transcript.text for transcript in own if transcript] == [True, False]
    assert edited.channels == analysis.channels
    assert analyzer.rescore(analysis, analysis.transcript.text).transcript == analysis.transcript


def test_lines_without_a_name_continue_the_one_before() -> None:
    assert read_turns("agent: Good\nmorning.\nagent 2: Yes: no.\n", ["agent", "agent 2"]) == {
        "agent": "Good morning.", "agent 2": "Yes: no.",
    }  # fmt: skip
    assert read_turns("Good morning.", ["agent"]) is None


def test_speakers_can_be_renamed(analysis: Analysis) -> None:
    renamed = rename_speakers(analysis, {"Left": "agent"})
    assert [each.name for each in renamed.speakers] == [each.name for each in renamed.channels] == ["agent", "Right"]
    assert renamed.transcript is not None
    assert {segment.speaker for segment in renamed.transcript.segments} == {"agent", "Right"}
    assert renamed.transcript.text.startswith("agent: ")
    assert {window.speaker for window in renamed.timeline} <= {"agent", "Right"}


def test_each_speaker_is_explained(analyzer: Analyzer, analysis: Analysis) -> None:
    explanation = analyzer.explain(analysis.speakers[0].answer)
    assert explanation.label == analysis.speakers[0].answer.scores.top
    with pytest.raises(ValueError, match="several speakers"):
        analyzer.explain(analysis)


def test_a_baseline_is_of_one_voice(quick: Analyzer) -> None:
    calm, other = speech(CALM), speech(CALM, "woman")
    two = np.stack([np.concatenate([calm, 0 * other]), np.concatenate([0 * calm, other])])
    with pytest.raises(InvalidAudio, match=r"several speakers \(Left, Right\)"):
        quick.calibrate(two, RATE)
    assert quick.calibrate(two, RATE, channels=1).speech_s > 15
    baseline = quick.calibrate(calm, RATE)
    answer = quick.analyze(STEREO, RATE, baseline=baseline)
    assert any("baseline was not used" in warning for warning in answer.quality.warnings)
    assert quick.analyze(STEREO, RATE, baseline=baseline, channels=1).speech.baseline is baseline


def test_channels_can_be_chosen_for_each_call(quick: Analyzer) -> None:
    assert len(quick.analyze(STEREO, RATE).speakers) == 2
    assert quick.analyze(STEREO, RATE, channels="mix").speakers == ()
    answers = quick.analyze_batch([STEREO, MAN], RATE, channels=2)
    assert isinstance(answers[0], Analysis)
    assert [each.used for each in answers[0].channels] == [False, True]
    assert isinstance(answers[1], InvalidAudio)
    with pytest.raises(InvalidSettings, match="SER_CHANNELS"):
        quick.analyze(MAN, RATE, channels="left")


def test_silent_channels_are_no_speech(quick: Analyzer) -> None:
    with pytest.raises(NoSpeech):
        quick.analyze(np.stack([silence(3), noise(3, 0.01)]), RATE, channels="split")
    (speaker,) = quick.analyze(np.stack([0 * MAN, MAN]), RATE, channels="split").speakers
    assert (speaker.name, speaker.channel, speaker.share) == ("Right", 2, 1.0)


def test_a_defect_of_one_lane_names_it(quick: Analyzer) -> None:
    clipped = np.stack([np.clip(20 * STEREO[0], -1, 1), STEREO[1]])
    answer = quick.analyze(clipped, RATE, channels="split")
    assert any(note.startswith("Left: The recording is clipped") for note in answer.quality.warnings)
    assert not any("Most of the recording is silence" in note for note in answer.quality.warnings)


def test_tables_have_a_row_a_speaker_where_that_is_asked_for(quick: Analyzer, tmp_path: Path) -> None:
    file = tmp_path / "call.wav"
    file.write_bytes(encode(STEREO.T))
    whole = process_file(file, analyzer=quick)
    assert len(whole) == 1
    assert "speaker" not in whole
    table = process_file(file, speakers=True, analyzer=quick)
    assert table["speaker"].tolist() == ["Left", "Right"]
    assert table["channel"].tolist() == [1, 2]
    assert len(table.index.unique()) == 1
    part = process_signal(STEREO, RATE, end=len(MAN) / RATE, speakers=True, analyzer=quick)
    assert part["speaker"].tolist() == [None] and part["channel"].isna().all()
    assert process_signal(STEREO, RATE, channels="mix", speakers=True, analyzer=quick)["speaker"].tolist() == [None]


def wav(path: Path, *channels: Samples) -> str:
    path.write_bytes(encode(np.stack(channels, axis=1)))
    return str(path)


def test_the_command_line_has_a_row_for_each_speaker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = wav(tmp_path / "call.wav", *STEREO)
    assert main(["analyze", "--channel-names", "agent,customer", file]) == 0
    head, row, agent, customer = capsys.readouterr().out.splitlines()
    column = head.index("emotion")
    assert "clock" not in row
    assert (agent[:column].strip(), customer[:column].strip()) == ("agent", "customer")
    assert agent[column - 1] == customer[column - 1] == row[column - 1] == " "
    assert "clock" in agent[head.index("transcript") :]
    assert main(["analyze", "--channel-names", "agent", file]) == 2
    assert "but 1 name is given" in capsys.readouterr().err
    assert main(["analyze", "--json", "--explain", "--no-transcript", file]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "explanation" not in answer
    assert [each["explanation"]["label"] for each in answer["speakers"]] == [each["top"] for each in answer["speakers"]]


def test_the_command_line_names_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = wav(tmp_path / "dead.wav", MAN, 0 * MAN)
    assert main(["analyze", "--no-transcript", file]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "  The right channel is silent; the left channel alone is used."
    )
    assert main(["analyze", "--no-transcript", "--channels", "3", file]) == 2
    assert "has 2 channels, but channel 3" in capsys.readouterr().err
    assert Settings(channels="2").channels == "2"
