"""The audit finds what makes a figure too good, and does not find what is not there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine.cli.main import main
from ser_engine.data import splits
from ser_engine.data.audit import Finding, Findings, audit, audit_folds, findings_table
from ser_engine.data.audit_rows import AuditRow, read_table
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.splits import Fold
from ser_engine.errors import CorpusError
from tests.speech import RATE, encode, speech_wav, tone

Captured = pytest.CaptureFixture[str]
NONE = np.array([], int)


def found(findings: Findings) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings.findings}


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a CSV with the columns of the first row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def audited(path: Path, **options: Any) -> dict[str, Finding]:
    return found(audit(read_table(path, **options)))


def emobox(corpus: str) -> Path:
    """Return EmoBox's published listing, which the test is skipped without."""
    beside = Path(os.environ.get("SER_DATA", "/nowhere")).parent / "emobox"
    path = Path(os.environ.get("SER_EMOBOX", beside)) / f"{corpus}.csv"
    if not path.is_file():
        pytest.skip(f"EmoBox's listing of {corpus} is not in SER_EMOBOX, nor in a folder emobox beside SER_DATA")
    return path


# EmoBox's published folds (field notes of the project: RAVDESS alone is speaker-independent)


@pytest.mark.parametrize(("corpus", "speakers", "folds"), [("cremad", 91, 1), ("emodb", 10, 5), ("tess", 2, 1)])
def test_emobox_tests_every_speaker_of_three_corpora_that_it_trains_on(
    corpus: str, speakers: int, folds: int, capsys: Captured
) -> None:
    leak = audited(emobox(corpus))["shared-speakers"]
    assert (leak.severity, leak.count, leak.of) == ("leak", speakers, speakers)
    assert len(leak.folds) == folds and set(leak.folds.values()) == {(speakers, speakers)}
    assert main(["audit", str(emobox(corpus))]) == 1
    out = capsys.readouterr().out
    assert f"{speakers} of {speakers} tested speakers are also in training" in out and leak.examples[0] in out


def test_emobox_keeps_ravdess_actors_apart(capsys: Captured) -> None:
    findings = audited(emobox("ravdess"))
    assert "shared-speakers" not in findings and findings["speakers-apart"].of == 24
    assert findings["shared-sentences"].count == 2  # everybody says the same two
    assert findings["shared-sentences"].severity == "warning"
    assert main(["audit", str(emobox("ravdess"))]) == 0
    assert "share no speaker: 24 are tested in 6 folds" in capsys.readouterr().out


def test_the_corpus_is_guessed_from_names_alone(tmp_path: Path) -> None:
    copy = tmp_path / "split.csv"
    shutil.copy(emobox("emodb"), copy)
    assert audit(read_table(copy)).corpora == ("emodb",)


# Made up splits in the file names of real corpora

RAVDESS = [f"03-01-0{emotion}-01-01-01-{actor:02}.wav" for actor in range(1, 5) for emotion in (3, 4, 5)]


def ravdess(fold_of: Any) -> list[dict[str, Any]]:
    return [{"file": name, "test_fold": fold_of(i, int(name[18:20]))} for i, name in enumerate(RAVDESS)]


def test_speakers_are_counted_by_fold(tmp_path: Path) -> None:
    # Actor 1 is in folds 1 and 2, actor 2 in fold 2 and always training, actors 3 and 4 in fold 1 and 2 alone.
    parts = {1: [1, 2, 2], 2: [2, 0, 2], 3: [1, 1, 1], 4: [2, 2, 2]}
    rows = ravdess(lambda i, actor: parts[actor][i % 3])
    leak = audited(written(tmp_path / "a.csv", rows))["shared-speakers"]
    assert leak.examples == ("ravdess/01", "ravdess/02")
    assert dict(leak.folds) == {"1": (1, 2), "2": (2, 3)}
    assert (leak.count, leak.of) == (2, 4)
    assert "in 2 of 2 folds" in leak.sentence


def test_whole_speakers_are_no_leak_and_the_exit_code_says_so(tmp_path: Path, capsys: Captured) -> None:
    path = written(tmp_path / "a.csv", ravdess(lambda i, actor: actor))
    assert main(["audit", "--json", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["clips"], told["tested"], told["speakers"], told["corpora"]) == (12, 12, 4, ["ravdess"])
    assert {finding["severity"] for finding in told["findings"]} == {"warning", "note"}
    (apart,) = [finding for finding in told["findings"] if finding["id"] == "speakers-apart"]
    assert set(apart) == {"id", "severity", "count", "of", "sentence", "examples", "folds"}


def test_train_validation_and_test_can_be_words(tmp_path: Path) -> None:
    words = {1: "Train", 2: "val", 3: "test", 4: "test"}
    apart = [{"path": row["file"], "split": words[int(row["file"][18:20])]} for row in ravdess(lambda *_: 0)]
    assert "shared-speakers" not in audited(written(tmp_path / "a.csv", apart))
    apart[3]["split"] = "test"  # one clip of the actor of the validation part
    leak = audited(written(tmp_path / "a.csv", apart))["shared-speakers"]
    assert leak.examples == ("ravdess/02",) and (leak.count, leak.of) == (1, 3)


def test_a_column_goes_before_what_the_name_says(tmp_path: Path) -> None:
    rows = [row | {"speaker": f"somebody {i}"} for i, row in enumerate(ravdess(lambda i, _: i % 2))]
    findings = audit(read_table(written(tmp_path / "a.csv", rows)))
    assert findings.speakers == 12 and not findings.leaks


def test_a_table_that_says_nothing_of_a_split_is_noted(tmp_path: Path) -> None:
    findings = audited(written(tmp_path / "a.csv", [{"path": name} for name in RAVDESS]))
    assert set(findings) == {"no-split"} and findings["no-split"].severity == "note"


def test_clips_of_nobody_and_in_no_part_are_told(tmp_path: Path) -> None:
    rows = ravdess(lambda i, actor: actor)
    rows += [{"file": "x.wav", "test_fold": 1}, {"file": RAVDESS[0].replace("-04", "-01"), "test_fold": -1}]
    findings = audited(written(tmp_path / "a.csv", rows))
    assert findings["unknown-speakers"].count == 1 and findings["outside-the-split"].count == 1
    assert "speakers-apart" not in findings  # nobody knows


# Twins


def clips(*rows: tuple[str, str, str], **columns: Sequence[str]) -> list[dict[str, str]]:
    """Return rows of path, speaker and fold, and of columns."""
    made = [{"path": path, "speaker": speaker, "label": "sad", "fold": fold} for path, speaker, fold in rows]
    return [row | {name: values[i] for name, values in columns.items()} for i, row in enumerate(made)]


def test_identical_clips_across_the_split_are_a_leak(tmp_path: Path) -> None:
    rows = clips(
        ("a.wav", "A", "1"), ("b.wav", "B", "2"), ("c.wav", "C", "2"), sha256=["11" * 32, "11" * 32, "22" * 32]
    )
    leak = audited(written(tmp_path / "mine.csv", rows))["identical-clips"]
    assert (leak.severity, leak.count, leak.of) == ("leak", 1, 2)
    assert leak.examples == ("mine/a = mine/b",)
    same = clips(
        ("a.wav", "A", "1"), ("b.wav", "B", "1"), ("c.wav", "C", "2"), sha256=["11" * 32, "11" * 32, "22" * 32]
    )
    assert "identical-clips" not in audited(written(tmp_path / "mine.csv", same))


def test_identical_clips_with_different_labels_are_a_warning(tmp_path: Path) -> None:
    rows = clips(
        ("a.wav", "A", "1"), ("b.wav", "A", "1"), ("c.wav", "C", "2"), sha256=["11" * 32, "11" * 32, "22" * 32]
    )
    assert "identical-clips-different-labels" not in audited(written(tmp_path / "mine.csv", rows))
    rows[1]["label"] = "angry"
    torn = audited(written(tmp_path / "mine.csv", rows))["identical-clips-different-labels"]
    assert (torn.severity, torn.count, torn.of) == ("warning", 1, 2)
    assert torn.examples == ("mine/b (angry) = mine/a (sad)",)


@pytest.mark.parametrize("source", ["one/a.wav", "a", "a.flac"], ids=["path", "name", "other suffix"])
@pytest.mark.parametrize("copy_first", [True, False])
def test_a_copy_in_training_of_a_tested_clip_is_a_leak(tmp_path: Path, source: str, copy_first: bool) -> None:
    rows = clips(("one/a.wav", "A", "1"), ("two/b.wav", "B", "2"), ("x.wav", "A", "2"), augmented_from=["", "", source])
    leak = audited(written(tmp_path / "mine.csv", rows[::-1] if copy_first else rows))["augmented-twins"]
    assert (leak.severity, leak.count, leak.of) == ("leak", 1, 2)
    assert leak.examples == ("one/a",)
    rows[2]["fold"] = "1"
    assert "augmented-twins" not in audited(written(tmp_path / "mine.csv", rows))


def test_two_copies_are_twins_without_their_original(tmp_path: Path) -> None:
    rows = clips(("x.wav", "A", "1"), ("y.wav", "A", "2"), augmented_from=["a", "a"])
    assert audited(written(tmp_path / "mine.csv", rows))["augmented-twins"].count == 1


def test_copies_go_by_their_names_where_no_column_tells(tmp_path: Path) -> None:
    names = ["03a01Wa.wav", "03a01Wa_noise.wav", "03a01Wa_pitch2.wav", "08a01Wa.wav"]
    rows = [{"file": name, "test_fold": str(1 + i % 2)} for i, name in enumerate(names)]
    findings = audit(read_table(written(tmp_path / "emodb.csv", rows)))
    assert found(findings)["augmented-twins"].examples == ("03a01wa",)
    assert findings.speakers == 2  # the copies' is known, too


def test_files_of_one_name_in_two_folders_are_no_twins(tmp_path: Path) -> None:
    rows = clips(("A/01.wav", "A", "1"), ("B/01.wav", "B", "2"))
    assert "augmented-twins" not in audited(written(tmp_path / "mine.csv", rows))


def test_audio_under_root_is_compared_by_its_bytes(tmp_path: Path) -> None:
    root = tmp_path / "audio" / "deeper"
    root.mkdir(parents=True)
    for name, seconds in (("03a01Wa", 1.0), ("08a01Wa", 1.0), ("09a01Wa", 1.5)):
        (root / f"{name}.WAV").write_bytes(encode(tone(seconds), RATE))
    rows = [{"file": f"wav/{name}.wav", "test_fold": fold} for name, fold in (("03a01Wa", 1), ("08a01Wa", 2))]
    rows.append({"file": "wav/09a01Wa.wav", "test_fold": 2})
    path = written(tmp_path / "emodb.csv", rows)
    assert "identical-clips" not in audited(path)
    assert audited(path, root=tmp_path / "audio")["identical-clips"].examples == ("emodb/03a01Wa = emodb/08a01Wa",)
    read = list(read_table(path, root=tmp_path / "audio"))
    assert {row.sample_rate for row in read} == {16_000} and all(row.bandwidth_hz > 0 for row in read)


# What gives a corpus away


def mixed(rates: Mapping[str, int], bands: Mapping[str, int], labels: Mapping[str, Sequence[str]]) -> Findings:
    rng = np.random.default_rng(0)
    return audit(
        AuditRow(
            path=f"{corpus}/{i}.wav",
            corpus=corpus,
            label=labels[corpus][i % len(labels[corpus])],
            speaker=f"{corpus}/{i % 4}",
            part=str(i % 4),
            sample_rate=rates[corpus],
            bandwidth_hz=bands[corpus] + rng.normal(0, 100),
        )
        for corpus in rates
        for i in range(40)
    )


SAME_LABELS = dict.fromkeys("abc", ("sad", "angry"))


def test_a_rate_or_bandwidth_of_its_own_gives_a_corpus_away() -> None:
    rates = {"a": 16_000, "b": 16_000, "c": 12_000}
    findings = found(mixed(rates, {"a": 7900, "b": 7900, "c": 5400}, SAME_LABELS))
    assert findings["sample-rates"].examples == ("c: 12,000 Hz",)
    assert findings["bandwidths"].examples == ("c: 5,500 Hz",)
    assert findings["bandwidths"].severity == "warning"
    assert "alone identifies 1 of 3 corpora" in findings["sample-rates"].sentence
    even = found(mixed(dict.fromkeys("abc", 16_000), dict.fromkeys("abc", 7900), SAME_LABELS))
    assert not {"sample-rates", "bandwidths", "labels-of-one-corpus"} & set(even)


def test_labels_of_one_corpus_are_named() -> None:
    rates, bands = dict.fromkeys("abc", 16_000), dict.fromkeys("abc", 8000)
    alone = found(mixed(rates, bands, SAME_LABELS | {"a": ("sad", "angry", "calm")}))["labels-of-one-corpus"]
    assert (alone.count, alone.of, alone.examples) == (1, 3, ("calm: a",))
    one = {"a": 16_000}
    assert "labels-of-one-corpus" not in found(mixed(one, {"a": 8000}, SAME_LABELS))


def test_labels_that_corpora_write_differently_are_the_same(tmp_path: Path) -> None:
    rows = [
        {"file": "1001_DFA_ANG_XX.wav", "label": "ANG", "test_fold": 1},
        {"file": "03a01Wa.wav", "label": "anger", "test_fold": 1},
        {"file": "03-01-05-01-01-01-01.wav", "label": "Angry", "test_fold": 2},
    ]
    findings = audit(read_table(written(tmp_path / "mixed.csv", rows)))
    assert findings.corpora == ("cremad", "emodb", "ravdess")
    assert "labels-of-one-corpus" not in found(findings)


# Bad tables


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,fold\n", "has no rows"),
        ("", "has no rows"),
        ("speaker,fold\nA,1\n", "line 2: there is no path and no file"),
        ("path,fold\na.wav,1\nb.wav,sometimes\n", "line 3: “sometimes” is neither the number of a fold nor"),
        ("path,sample_rate\na.wav,fast\n", "line 2: sample_rate should be a number, not “fast”"),
        ("path,bandwidth_hz\na.wav,inf\n", "line 2: bandwidth_hz should be a positive number"),
        ("path,fold\na.wav,1,2\n", "line 2: there are more fields than columns"),
    ],
)
def test_a_table_that_cannot_be_understood_is_one_sentence(
    tmp_path: Path, capsys: Captured, text: str, told: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert main(["audit", str(path)]) == 2
    err = capsys.readouterr().err.strip()
    assert told in err and str(path) in err and "\n" not in err


def test_what_is_not_there_is_one_sentence(tmp_path: Path, capsys: Captured) -> None:
    assert main(["audit", str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err == f"There is no manifest {tmp_path / 'none.csv'}.\n"
    path = written(tmp_path / "a.csv", [{"path": "a.wav"}])
    assert main(["audit", str(path), "--root", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"The audio should be in {tmp_path / 'none'}, but there is no such folder.\n"
    path = tmp_path / "a.jsonl"
    path.write_text('{"path": "a.wav", "speaker": ["A"]}\n')
    with pytest.raises(CorpusError, match="line 1: speaker is neither text nor a number"):
        audit(read_table(path))


def test_json_lines_and_help_are_understood(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"path": "a.wav", "speaker": "A", "fold": 1}, {"path": "b.wav", "speaker": "A", "fold": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["audit", str(path)]) == 1
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "The exit code is 0 if nothing leaks, 1 if something does, and 2 if the table cannot be read" in out


# Training runs


def spoken(root: Path, speakers: int = 4, each: int = 4) -> list[Utterance]:
    labels = ("sad", "angry")
    return [
        Utterance("mine", root / f"{s}-{i}.wav", labels[i % 2], f"mine/{s}", sentence=f"sentence {i}")
        for s in range(speakers)
        for i in range(each)
    ]


@pytest.mark.parametrize("protocol", ["paper", "stratified-k-fold", "speaker-independent", "leave-one-speaker-out"])
def test_a_run_is_audited_as_its_folds_are(tmp_path: Path, protocol: str) -> None:
    utterances = spoken(tmp_path)
    folds = splits.make_folds(protocol, utterances, [str(u.label) for u in utterances], folds=4)
    findings = audit_folds(utterances, folds)
    leaks = "shared-speakers" in found(findings)
    assert leaks is not splits.speakers_apart(utterances, folds)
    assert leaks is (protocol in ("paper", "stratified-k-fold"))
    assert findings.clips == 16 and findings.speakers == 4
    assert findings.tested == sum(len(fold.test) for fold in folds)
    assert json.loads(json.dumps(findings.to_dict())) == findings.to_dict()
    assert findings_table(findings)


def test_a_run_on_copies_made_before_the_split_leaks_twins(tmp_path: Path) -> None:
    utterances = splits.repeat_for_copies(spoken(tmp_path), 3)
    folds = splits.make_folds("augmented-before-split", utterances, [str(u.label) for u in utterances], folds=4)
    leak = found(audit_folds(utterances, folds))["augmented-twins"]
    assert leak.severity == "leak" and leak.count > 12 and leak.of == 16
    apart = [Fold("1", np.arange(32), NONE, np.arange(32, 64))]
    assert "augmented-twins" not in found(audit_folds(utterances, apart))


def test_a_run_is_audited_by_its_files(tmp_path: Path) -> None:
    utterances = spoken(tmp_path)
    for number, utterance in enumerate(utterances):
        utterance.path.write_bytes(encode(tone(0.3 + number / 100), RATE))
    folds = splits.make_folds("speaker-independent", utterances, [str(u.label) for u in utterances], folds=4)
    assert not audit_folds(utterances, folds).leaks
    shutil.copy(utterances[0].path, utterances[-1].path)
    findings = found(audit_folds(utterances, folds))
    assert findings["identical-clips"].examples == ("mine/0-0 = mine/3-3",)
    assert findings["identical-clips-different-labels"].count == 1


def test_what_the_files_of_two_corpora_sound_like_is_compared(tmp_path: Path) -> None:
    first = spoken(tmp_path, each=3)
    second = [replace(u, corpus="other", path=tmp_path / f"o{i}.wav") for i, u in enumerate(first)]
    for utterance in first:
        utterance.path.write_bytes(speech_wav(rate=16_000))
    for utterance in second:
        utterance.path.write_bytes(speech_wav(rate=8_000))
    both = first + second
    folds = splits.make_folds("leave-one-corpus-out", both, [str(u.label) for u in both])
    findings = found(audit_folds(both, folds))
    assert findings["sample-rates"].count == findings["bandwidths"].count == 2


# Streaming


def test_rows_are_not_kept() -> None:
    def rows(count: int) -> Iterator[AuditRow]:
        for i in range(count):
            yield AuditRow(f"{i}.wav", "mine", "sad", f"mine/{i % 50}", f"mine/{i % 20}" + "x" * 2000, part=str(i % 5))

    tracemalloc.start()
    assert audit(rows(20_000)).clips == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / 20_000 < 400  # bytes a row, of which a row has more than 2,000
