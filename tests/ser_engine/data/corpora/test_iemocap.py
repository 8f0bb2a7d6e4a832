"""IEMOCAP: labels and words are read from the text files beside the audio."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import NO_LABEL, Stray
from ser_engine.data.corpora.iemocap import CORPUS
from ser_engine.errors import CorpusError
from tests.ser_engine.data.corpora.trees import touched

EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M001\texc\t[4.0000, 4.0000, 2.5000]
[14.8872 - 18.0175]\tSes01F_impro01_F002\txxx\t[2.5000, 2.5000, 2.5000]
[19.2900 - 20.7875]\tSes01F_impro01_M003\tfea\t[2.5000, 2.5000, 2.5000]
"""
WORDS = """Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses01F_impro01_MXX0 [008.5000-009.0000]: Mm-hm.
Ses01F_impro01_M001 [010.0100-011.3925]:  Yeah.
"""
TURNS = ("F000", "M001", "F002", "M003", "MXX0")


def write_session(root: Path, dialog: str = "dialog/") -> Path:
    """Write the first session as it is published, or without the folder in between."""
    session = root / "Session1"
    touched(session / "sentences/wav/Ses01F_impro01", *(f"Ses01F_impro01_{turn}.wav" for turn in TURNS))
    touched(session / "dialog/wav", "Ses01F_impro01.wav")
    for folder, text in (("EmoEvaluation", EVALUATION), ("transcriptions", WORDS)):
        file = session / f"{dialog}{folder}" / "Ses01F_impro01.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    rater = session / f"{dialog}EmoEvaluation" / "Categorical" / "Ses01F_impro01_e2_cat.txt"
    rater.parent.mkdir()
    rater.write_text("[6.2901 - 8.2357]\tSes01F_impro01_F000\tang\t[1.0, 1.0, 1.0]\n")
    return root


@pytest.mark.parametrize("dialog", ["dialog/", ""])
def test_labels_and_words_are_those_of_the_text_files(dialog: str, tmp_path: Path) -> None:
    write_session(tmp_path / "IEMOCAP_full_release", dialog)
    found = {utterance.name[-4:]: utterance for utterance in registry.read_corpus("iemocap", tmp_path)}
    natives = {turn: (utterance.native, utterance.label) for turn, utterance in found.items()}
    assert natives == {
        "F000": ("neu", "neutral"), "M001": ("exc", None), "F002": ("xxx", None), "M003": ("fea", "fearful"),
    }  # fmt: skip
    assert [found[turn].words for turn in ("F000", "M001", "F002")] == ["Excuse me.", "Yeah.", None]
    assert (found["F000"].speaker, found["F000"].gender) == ("iemocap/Ses01F", "female")
    assert (found["M001"].speaker, found["M001"].gender) == ("iemocap/Ses01M", "male")


def test_a_turn_that_nobody_rated_is_told(tmp_path: Path) -> None:
    strays = [found for found in CORPUS.scan(write_session(tmp_path)) if isinstance(found, Stray)]
    assert {stray.path.name: stray.reason for stray in strays}["Ses01F_impro01_MXX0.wav"] == NO_LABEL
    assert len(strays) == 2  # and the whole dialogue


@pytest.mark.parametrize(
    ("name", "speaker", "sentence"),
    [
        ("Ses05M_script01_1b_F001", "Ses05F", "script01_1"),
        ("Ses02F_script03_2_M044", "Ses02M", "script03_2"),
        ("Ses04M_impro05a_F012", "Ses04F", None),
        ("SES03F_IMPRO08_M015", "Ses03M", None),
    ],
)
def test_a_name_says_who_speaks(name: str, speaker: str, sentence: str | None) -> None:
    utterance = CORPUS.read_name(Path(f"{name}.wav"))
    assert utterance is not None
    assert (utterance.speaker, utterance.sentence) == (f"iemocap/{speaker}", sentence)


def test_without_its_labels_it_is_no_corpus(tmp_path: Path) -> None:
    touched(tmp_path / "iemocap", "Ses01F_impro01_F000.wav")
    with pytest.raises(CorpusError, match="EmoEvaluation"):
        registry.read_corpus("iemocap", tmp_path)


def test_a_label_that_it_does_not_have_is_told_with_its_file(tmp_path: Path) -> None:
    root = write_session(tmp_path)
    file = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    file.write_text(EVALUATION.replace("fea", "bor"))
    with pytest.raises(CorpusError, match=r"EmoEvaluation/Ses01F_impro01\.txt: .*“bor”, .* ses01f_impro01_m003"):
        list(CORPUS.utterances(root))
