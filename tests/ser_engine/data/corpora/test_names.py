"""What the file names of the smaller corpora say, and the variants of them that people have."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from ser_engine.data.corpora import (
    aesdd,
    ased,
    banglaser,
    baved,
    emogator,
    emovo,
    librispeech,
    nemo,
    registry,
    savee,
    shemo,
    speechocean,
    subesco,
    tess,
    urdu,
)
from ser_engine.errors import CorpusError
from tests.ser_engine.data.corpora.trees import touched


@pytest.mark.parametrize(
    ("path", "speaker", "label", "sentence"),
    [
        ("DC_a05.wav", "DC", "angry", "a05"),
        ("ALL/JE_sa03.wav", "JE", "sad", "common03"),
        ("AudioData/JK/su12.wav", "JK", "surprised", "su12"),
        ("AudioData/kl/N30.WAV", "KL", "neutral", "n30"),
        ("kl_D01.wav", "KL", "disgust", "common01"),
    ],
)
def test_savee(path: str, speaker: str, label: str, sentence: str) -> None:
    utterance = savee.CORPUS.read_name(Path(path))
    assert utterance is not None
    assert (utterance.speaker, utterance.label, utterance.sentence) == (f"savee/{speaker}", label, sentence)
    assert (utterance.gender, utterance.words) == ("male", None)


def test_savee_s_speakers_have_files_of_one_name_and_all_are_read(tmp_path: Path) -> None:
    touched(tmp_path / "savee" / "AudioData", "DC/a01.wav", "JE/a01.wav", "Info.wav")
    assert [utterance.speaker for utterance in registry.read_corpus("savee", tmp_path)] == ["savee/DC", "savee/JE"]


@pytest.mark.parametrize(
    ("name", "label", "speaker", "sentence"),
    [
        ("a13 (6)", "angry", "6", "13"),
        ("f10 (01)", "fearful", "1", "10"),
        ("s01 (5)b", "sad", "5", "01"),
        ("D03(5)B", "disgust", "5", "03"),
        ("h07_(2)", "happy", "2", "07"),
        ("s20 (4)", "sad", "4", "improvised-s4"),
    ],
)
def test_aesdd(name: str, label: str, speaker: str, sentence: str) -> None:
    utterance = aesdd.CORPUS.read_name(Path(f"anger/{name}.wav"))
    assert utterance is not None
    assert (utterance.label, utterance.speaker, utterance.sentence) == (label, f"aesdd/{speaker}", sentence)
    assert utterance.gender is None


def test_aesdd_s_second_takes_are_clips_of_their_own(tmp_path: Path) -> None:
    touched(tmp_path / "AESDD", "sadness/s01 (5)a.wav", "sadness/s01 (5)b.wav", "Tools and Documentation/demo.wav")
    assert len(registry.read_corpus("aesdd", tmp_path)) == 2


def test_shemo_has_words_where_its_table_lies_beside_the_audio(tmp_path: Path) -> None:
    root = touched(tmp_path / "ShEMO", "female/F21N05.wav", "male/M56A01.wav")
    assert [utterance.words for utterance in registry.read_corpus("shemo", tmp_path)] == [None, None]
    entry = {"gender": "female", "emotion": "neutral", "transcript": "مگه من به تو نگفته بودم؟", "ipa": ""}
    (root / "shemo.json").write_text(json.dumps({"F21N05": entry}), encoding="utf-8")
    first, second = registry.read_corpus("shemo", tmp_path)
    assert (first.words, second.words) == (entry["transcript"], None)
    assert (first.label, first.speaker, first.gender) == ("neutral", "shemo/F21", "female")
    assert (second.label, second.speaker, second.gender) == ("angry", "shemo/M56", "male")
    (root / "shemo.json").write_text("[]")
    with pytest.raises(CorpusError, match=r"shemo\.json is not the table"):
        registry.read_corpus("shemo", tmp_path)


def test_savee_has_the_words_that_are_known_and_those_of_a_table(tmp_path: Path) -> None:
    root = touched(
        tmp_path / "savee", "DC_sa03.wav", "JE_f04.wav", "KL_su15.wav", "DC_d07.wav", "JE_d07.wav", "JE_n07.wav"
    )

    def words() -> dict[str, str | None]:
        return {utterance.name: utterance.words for utterance in registry.read_corpus("savee", tmp_path)}

    assert words() == {
        "DC_sa03": "Will you tell me why?",
        "JE_f04": "Call an ambulance for medical assistance.",
        "KL_su15": "He further proposed grants of an unspecified sum for experimental hospitals.",
        "DC_d07": None,
        "JE_d07": None,
        "JE_n07": None,
    }
    table = "name,transcript\nDCd07,Of one man.\nd07,Of all.\nf04,Another.\n"
    (root / "transcript.csv").write_text(table, encoding="utf-8")
    assert words().items() >= {"DC_d07": "Of one man.", "JE_d07": "Of all.", "JE_f04": "Another."}.items()
    (root / "transcript.csv").write_text("file;text\n")
    with pytest.raises(CorpusError, match=r"transcript\.csv should be a table with the columns name and transcript\."):
        registry.read_corpus("savee", tmp_path)


def test_aesdd_has_the_words_of_a_table_however_its_names_are_written(tmp_path: Path) -> None:
    root = touched(tmp_path / "AESDD", "anger/a13 (6).wav", "anger/a14 (6).wav")
    (root / "transcript.csv").write_text("name,transcript\na13_(6),Τι ώρα είναι;\n", encoding="utf-8")
    assert [utterance.words for utterance in registry.read_corpus("aesdd", tmp_path)] == ["Τι ώρα είναι;", None]


def test_nemo_has_words_where_its_table_lies_beside_the_audio(tmp_path: Path) -> None:
    root = touched(tmp_path / "nEMO", "samples/WR0_surprised_64.wav", "samples/EB0_neutral_13.wav")
    table = 'file_id\temotion\traw_text\nEB0_neutral_13.wav\tneutral\t"Ród smoka" to serial.\n'
    (root / "data.tsv").write_text(table, encoding="utf-8")
    first, second = registry.read_corpus("nemo", tmp_path)
    assert (first.words, first.gender, first.sentence) == ('"Ród smoka" to serial.', "female", "13")
    assert (second.words, second.gender, second.native, second.label) == (None, "male", "SURPRISED", "surprised")
    (root / "data.tsv").write_text("id\n")
    with pytest.raises(CorpusError, match=r"data\.tsv is not the table"):
        registry.read_corpus("nemo", tmp_path)


def test_baved_has_a_word_for_each_clip_and_a_label_for_its_middle_level(tmp_path: Path) -> None:
    touched(tmp_path / "BAVED", "1/100-f-6-1-1-1.wav", "1/4-M-20-1-2-147.wav")
    child, man = registry.read_corpus("baved", tmp_path)
    assert (child.label, child.native, child.gender, child.words) == ("neutral", "neutral", "female", "لم يعجبني")
    assert (man.label, man.native, man.gender, man.speaker) == (None, "high", "male", "baved/4")


@pytest.mark.parametrize(
    ("name", "label", "speaker", "number"),
    [
        ("F_02_MONIKA_S_1_NEUTRAL_5", "neutral", "F_02", "1"),
        ("F_02_MONIKA_S_2_SURPRISE_3]", "surprised", "F_02", "2"),
        ("m_10_evan_s_10_fear_1", "fearful", "M_10", "10"),
    ],
)
def test_subesco(name: str, label: str, speaker: str, number: str) -> None:
    utterance = subesco.CORPUS.read_name(Path(f"{name}.wav"))
    assert utterance is not None
    assert (utterance.label, utterance.speaker) == (label, f"subesco/{speaker}")
    assert utterance.gender == ("female" if speaker[0] == "F" else "male")
    assert utterance.words == utterance.sentence == subesco.SENTENCES[number]


@pytest.mark.parametrize(
    ("name", "native", "label", "actor", "gender"),
    [
        ("03-01-01-01-01-01-01", "happy", "happy", "01", "male"),
        ("03-01-02-01-02-02-02", "sad", "sad", "02", "female"),
        ("03-01-03-02-03-03-33", "angry", "angry", "33", "male"),
        ("03-01-04-02-01-01-34", "surprise", "surprised", "34", "female"),
        ("03-01-05-01-01-01-17", "neutral", "neutral", "17", "male"),
    ],
)
def test_banglaser_s_numbers_are_not_ravdess_s(name: str, native: str, label: str, actor: str, gender: str) -> None:
    utterance = banglaser.CORPUS.read_name(Path(f"{name}.wav"))
    assert utterance is not None
    assert (utterance.native, utterance.label) == (native, label)
    assert (utterance.speaker, utterance.gender) == (f"banglaser/{actor}", gender)
    assert utterance.words == banglaser.CORPUS.sentences[name.split("-")[4]]


def test_banglaser_s_whole_design_is_its_published_count(tmp_path: Path) -> None:
    """Three sentences, three takes; four emotions by 34 speakers, neutral by 27."""
    names = [
        f"Actor {actor:02}/03-01-{emotion:02}-01-{sentence:02}-{take:02}-{actor:02}.wav"
        for actor in range(1, 35)
        for emotion in range(1, 6 if actor <= 27 else 5)
        for sentence in (1, 2, 3)
        for take in (1, 2, 3)
    ]
    touched(tmp_path / "BanglaSER", *names)
    assert len(registry.read_corpus("banglaser", tmp_path)) == banglaser.CORPUS.expected_clips == 1467


@pytest.mark.parametrize("name", ["readme", "a01", "DC_a1", "a1 (3)", "F1A02", "F_02_MONIKA_2_SAD_3", "03-01-01"])
@pytest.mark.parametrize("reader", [savee, aesdd, shemo, subesco, banglaser])
def test_what_is_no_clip_is_left_out(reader: object, name: str) -> None:
    assert reader.CORPUS.read_name(Path(f"folder/{name}.wav")) is None  # type: ignore[attr-defined]


def test_tess_in_kaggle_s_folders(tmp_path: Path) -> None:
    """The archive holds everything twice, and one clip of the elder actress is misspelled."""
    inner = "TESS Toronto emotional speech set data"
    names = ["OAF_Pleasant_surprise/OAF_back_ps.wav", "OAF_neutral/OA_bite_neutral.wav", "YAF_sad/YAF_back_sad.wav"]
    touched(tmp_path / inner, *names, *(f"{inner}/{name}" for name in names))
    found = list(tess.CORPUS.utterances(tmp_path / inner))
    assert sorted(str(utterance.label) for utterance in found) == ["neutral", "sad", "surprised"]
    assert {utterance.speaker for utterance in found} == {"tess/OAF", "tess/YAF"}


@pytest.mark.parametrize(
    ("corpus", "path", "speaker", "label", "native"),
    [
        (emovo, "f1/dis-f1-b1.wav", "F1", "disgust", "DIS"),
        (emovo, "SOR-M3-N5.WAV", "M3", "surprised", "SOR"),
        (ased, "04Sad/s4-07-02-01-63.wav", "63", "sad", "S"),
        (ased, "S4-04-02-01-29.wav", "29", "sad", "S"),
        (emogator, "000095-25-2.mp3", "000095", "calm", "serenity"),
        (urdu, "Sad/SM24_F10_S022.wav", "SM24", "sad", "S"),
        (urdu, "Happy/sf1_f10_h010.wav", "SF1", "happy", "H"),
        (emogator, "000342-02-1.mp3", "000342", "happy", "amusement"),
        (emogator, "000342-06-1.mp3", "000342", None, "contempt"),
        (librispeech, "103-1240-0000.flac", "103", "neutral", "ordinary"),
        (speechocean, "SPEAKER2089/020890003.wav", "2089", "neutral", "ordinary"),
    ],
)
def test_newer_corpora(corpus: ModuleType, path: str, speaker: str, label: str | None, native: str) -> None:
    utterance = corpus.CORPUS.read_name(Path(path))
    assert utterance is not None
    assert utterance.speaker == f"{corpus.CORPUS.id}/{speaker}"
    assert (utterance.label, utterance.native) == (label, native)


def test_sentences_of_ased_belong_to_an_emotion_and_emovo_names_genders() -> None:
    first, second = (ased.CORPUS.read_name(Path(f"{name}-01-02-63.wav")) for name in ("n1-07", "a5-07"))
    assert first is not None and second is not None and first.sentence != second.sentence
    actor = emovo.CORPUS.read_name(Path("neu-m2-l4.wav"))
    assert actor is not None and (actor.gender, actor.sentence) == ("male", "L4")


def test_speechocean_reads_genders_and_ages_from_its_tables(tmp_path: Path) -> None:
    touched(tmp_path / "speechocean", "SPEAKER0001/000010003.wav", "SPEAKER0006/000060003.wav")
    (tmp_path / "speechocean" / "spk2gender").write_text("0001\tm\n0006\tf\nbroken\n", encoding="utf-8")
    genders = [utterance.gender for utterance in registry.read_corpus("speechocean", tmp_path)]
    assert genders == ["male", "female"]
    assert speechocean.read_ages(tmp_path / "speechocean") == {}
    (tmp_path / "speechocean" / "spk2age").write_text("0001\t9\n0006\tunknown\n", encoding="utf-8")
    assert speechocean.read_ages(tmp_path / "speechocean") == {"speechocean/0001": 9}


@pytest.mark.parametrize("name", ["dis-f1", "s4-07-02-03-63", "000095-25", "103-1240", "readme", "120890003", "SM1_F1"])
@pytest.mark.parametrize("reader", [emovo, ased, emogator, librispeech, speechocean, urdu, nemo, baved])
def test_other_files_are_none_of_the_newer_corpora(name: str, reader: ModuleType) -> None:
    assert reader.CORPUS.read_name(Path(f"{name}.wav")) is None
