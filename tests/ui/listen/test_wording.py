"""The sentences of the Listen page agree with the figures."""

from __future__ import annotations

import numpy as np

from ser_engine.types import Quality, Scores, Transcript, TranscriptSegment
from ui.listen import wording


def modalities(audio: str, text: str | None, fused: str) -> dict[str, Scores]:
    """Return scores with the given top emotions."""
    labels = ("angry", "sad", "happy")

    def scores(top: str) -> Scores:
        return Scores(labels, np.array([0.7 if label == top else 0.15 for label in labels], np.float32))

    named = {"audio": audio, "text": text, "fused": fused}
    return {name: scores(top) for name, top in named.items() if top}


def test_the_influence_of_the_transcript() -> None:
    changed = wording.influence(modalities("sad", "angry", "angry"))
    assert "changed" in changed and "sad (70%)" in changed
    assert "agree" in wording.influence(modalities("sad", "sad", "sad"))
    assert "By text alone the result would be happy" in wording.influence(modalities("sad", "happy", "sad"))
    for transcript in ("", " "):
        assert "no transcript" in wording.influence(modalities("sad", None, "sad"), transcript)
    assert "no emotion" in wording.influence(modalities("sad", None, "sad"), "Kids are talking by the door.")


def test_the_effect_of_an_edit() -> None:
    sad, angry = modalities("sad", None, "angry").values()
    assert "was sad" in wording.correction(sad, angry) and "was sad" not in wording.correction(sad, sad)


def test_the_language_is_named_or_its_code_is_given() -> None:
    note = wording.transcript_note(Transcript("Hi.", "en", (), 0.93, ""))
    assert "English" in note and "93%" in note
    assert " xx." in wording.transcript_note(Transcript("Jambo.", "xx", (), 0.5, ""))


def test_several_languages_and_doubts_are_named() -> None:
    german = TranscriptSegment(0.0, 4.0, "Ja, gut.", 0.9, language="de")
    short = TranscriptSegment(4.0, 5.0, "Hi.", 0.9, language="de", language_doubtful=True)
    english = TranscriptSegment(5.0, 6.0, "Come here!", 0.9, language="en")
    note = wording.transcript_note(Transcript("", "de", (german, short, english), 0.93, ""))
    assert note.startswith("Languages: English and German (doubtful in parts).")
    assert wording.transcript_note(Transcript("", "de", (short,), 0.9, "")).startswith("Language: German (doubtful).")
    first, second, _ = wording.sentence_rows((german, short, english), languages=True)
    assert first["note"].endswith(", German") and second["note"].endswith(", German (doubtful)")
    assert "German" not in wording.sentence_rows((german,))[0]["note"]


def test_quality_without_anything_to_measure() -> None:
    facts = dict(wording.facts(Quality(3.0, 2.1, 44_100, 7_450.0, None, 0.0, -23.7, False)))
    assert facts["Sample rate"] == "44.1 kHz" and facts["Speech"] == "2.10 s" and facts["Speech level"] == "-24 dBFS"
    assert facts["Signal-to-noise ratio"] == "not measurable" and facts["Clipped samples"] == "none"
    clipped = dict(wording.facts(Quality(3.0, 2.1, 16_000, 7_450.0, 12.4, 0.00001, -23.7, True)))
    assert clipped["Clipped samples"] == "0.01%" and clipped["Noise reduction"] == "applied"


def test_a_sentence_has_its_time_and_its_emotion() -> None:
    doubtful = Scores(("angry", "sad"), np.array([0.45, 0.55], np.float32))
    segments = (
        TranscriptSegment(7.4, 9.0, "Come here!", 0.9, (), doubtful, sure=False),
        TranscriptSegment(3723.0, 3724.0, "Now.", 0.9),
        TranscriptSegment(1.0, 2.0, "", 0.9),
    )
    first, second = wording.sentence_rows(segments)
    assert (first["time"], first["text"], first["emotion"]) == ("0:07", "Come here!", "sad?")
    assert first["note"] == "Sad 55%, not sure" and first["sure"] is False
    assert (second["time"], second["emotion"], second["sure"]) == ("1:02:03", "", True)
    assert "Too little speech" in second["note"]


def test_the_minutes_of_a_long_recording_are_counted() -> None:
    assert wording.minutes((0.0, 0.0)) is wording.minutes((5.0, 100.0)) is None
    assert wording.minutes((0.0, 1800.0)) == (0, 30)
    assert wording.minutes((200.0, 1790.0)) == (3, 30)
    assert wording.minutes((1790.0, 1790.0)) == (29, 30) and wording.minutes((1810.0, 1810.0)) == (30, 30)
