"""A finished model measured on a tiny corpus: what is counted, provenance, and resuming."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine import Analyzer, Settings
from ser_engine.cli.main import main
from ser_engine.data import manifest
from ser_engine.data.corpora import registry
from ser_engine.errors import CorpusError, InvalidSettings, NoSpeech, WeightsUnavailable
from ser_engine.evaluation.evaluate_model import Plan, evaluate_model
from ser_engine.evaluation.record import RunRecord, read_record
from ser_engine.types import Analysis
from tests.ser_engine.models.test_hub import checkpoint, edit
from tests.ser_engine.training.tiny import SILENT, write_corpora

BROKEN = "03-01-03-01-02-02-04"  # a happy one
OTHERS = "03-01-08-01-01-01-01"  # surprised, which the model has no label for
LABELS = ("neu", "female_sad", "hap", "male_sad", "bored")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 21 files: one without speech, one that is no recording, and one of an emotion without a label."""
    home = tmp_path_factory.mktemp("evaluated")
    write_corpora(home / "data")
    clips = home / "data" / "ravdess"
    (clips / f"{BROKEN}.wav").write_text("no recording")
    shutil.copy(clips / "03-01-01-01-01-01-01.wav", clips / f"{OTHERS}.wav")
    checkpoint(home / "models" / "tiny", "hubert", LABELS)
    return home


def settings(home: Path, cache: str = "cache") -> Settings:
    return Settings(cache=home / cache, models_dir=home / "models")


def measure(home: Path, plan: Plan, cache: str = "cache") -> RunRecord:
    return evaluate_model(plan, settings(home, cache), home / "data", home / "results", workers=2)


PLAN = Plan("hf:tiny", ("RAVDESS",))


@pytest.fixture(scope="module")
def record(home: Path) -> RunRecord:
    return measure(home, PLAN)


def test_the_record_is_complete(home: Path, record: RunRecord) -> None:
    assert record.id == "evaluated/tiny-ravdess/as-is"
    shown = read_record(home / "results", record.id)
    assert shown.to_dict() == record.to_dict() and shown.problems == ()
    assert (shown.model, shown.corpora, shown.labels) == ("tiny", ("ravdess",), ("neutral", "happy", "sad", "bored"))
    assert shown.confusion and shown.by_speaker and shown.by_gender and shown.audit and shown.size_mb is not None
    assert not list(home.rglob("*.part"))


def test_clips_that_cannot_count_are_left_out_and_counted(record: RunRecord) -> None:
    assert record.details["left_out"] == {"surprised": 1}
    assert record.dropped == 1
    assert (record.clips, record.tested, record.no_speech) == (19, 19, 1)
    assert {label: row["support"] for label, row in record.per_class.items()} == {"neutral": 6, "happy": 6, "sad": 7}


def test_the_applications_answers_are_counted(home: Path, record: RunRecord) -> None:
    analyzer = Analyzer(replace(settings(home), model="tiny", transcribe=False))
    labels = ["neutral", "happy", "sad", "bored"]
    confusion = np.zeros((4, 5), int)
    sure = []
    for clip in registry.read_corpus("ravdess", home / "data"):
        if clip.name in (BROKEN, OTHERS):
            continue
        true = labels.index(str(clip.label))
        try:
            scores = analyzer.analyze(clip.path).scores
            confusion[true, labels.index(scores.top)] += 1
            sure.append(scores.probabilities.max())
        except NoSpeech:
            assert clip.name == SILENT
            confusion[true, -1] += 1
    assert np.array_equal(record.confusion, confusion)
    assert len(np.unique(np.round(sure, 4))) > 5  # the clips do differ


def test_unknown_training_data_are_stated(record: RunRecord) -> None:
    assert record.speaker_independent is False and record.protocol == "as-is"
    assert record.split == "every clip once; the model's training data are not known"
    assert record.note.startswith("The training data of this model are not known")
    (finding,) = record.audit["findings"]
    assert (finding["severity"], finding["count"], finding["sentence"]) == ("warning", 19, record.note)


def test_a_claim_of_unseen_speakers_is_recorded_as_one(home: Path) -> None:
    record = measure(home, replace(PLAN, unseen=True, name="claimed"))
    assert record.id == "evaluated/claimed/as-is" and (home / "results" / record.id / "run.json").is_file()
    assert record.speaker_independent is True
    assert "said to be unseen" in record.split and "not checked" in record.note
    assert [finding["severity"] for finding in record.audit["findings"]] == ["note"]


def test_a_model_that_was_trained_on_the_corpus_is_not_independent_of_it(home: Path) -> None:
    edit(checkpoint(home / "models" / "ours", labels=LABELS), corpora=["CREMA-D", "ravdess"])
    record = measure(home, replace(PLAN, model="ours"))
    assert record.speaker_independent is False
    assert "the model was trained on ravdess" in record.split and "ravdess was part of its training" in record.note
    assert [finding["severity"] for finding in record.audit["findings"]] == ["leak"]
    with pytest.raises(InvalidSettings, match="ours was trained on ravdess, as its config"):
        measure(home, replace(PLAN, model="ours", unseen=True))


def test_a_manifest_may_hold_anything_so_nothing_is_promised(home: Path) -> None:
    edit(checkpoint(home / "models" / "apart", labels=LABELS), corpora=["cremad"])
    assert measure(home, replace(PLAN, model="apart")).speaker_independent is True
    ravdess = registry.read_corpus("ravdess", home / "data")
    clips = [replace(clip, corpus="mine") for clip in ravdess if clip.name != BROKEN]
    manifest.write_manifest(clips[:6], home / "data" / "mine.csv")
    record = measure(home, replace(PLAN, model="apart", corpora=("mine.csv",)))
    assert record.corpora == ("mine",) and record.speaker_independent is False
    assert "not known" in record.split
    edit(checkpoint(home / "models" / "vague", labels=LABELS), corpora=["cremad", "lab/train.csv"])
    assert measure(home, replace(PLAN, model="vague")).speaker_independent is False


def test_the_shipped_model_is_measured_on_a_corpus_that_it_does_not_know(home: Path, tmp_path: Path) -> None:
    ours = Settings(cache=tmp_path / "cache")
    record = evaluate_model(Plan("whisper-base-heads", ("emodb",)), ours, home / "data", tmp_path / "results")
    assert record.model == "whisper-base-heads" and record.speaker_independent is True
    assert "trained on other corpora" in record.split and not record.details
    assert record.tested == 2  # the bored one has no label of ours


def test_the_test_clips_of_a_protocol_alone_can_be_counted(home: Path) -> None:
    record = measure(home, replace(PLAN, protocol="speaker-independent"))
    assert record.split.startswith("the test clips of speaker-independent; ")
    assert record.speaker_independent is False  # that of the folds is not that of the model's training
    assert record.tested == 19 and {"UA_mean", "UA_std"} <= set(record.metrics)
    part = measure(home, replace(PLAN, protocol="paper"))
    assert part.tested is not None and 0 < part.tested < 19 and part.clips == 19
    assert sum(row["clips"] for row in part.by_corpus.values()) == part.tested


def test_a_label_set_merges_the_models_labels_as_it_merges_the_clips(home: Path) -> None:
    checkpoint(home / "models" / "calm", labels=("calm", "neutral", "happy", "sad"))
    plan = replace(PLAN, model="hf:calm")
    assert measure(home, plan).labels == ("neutral", "calm", "happy", "sad")
    assert measure(home, replace(plan, label_set="islam")).labels == ("neutral", "happy", "sad")


def counting(monkeypatch: pytest.MonkeyPatch, stop_at: int = 0) -> list[str]:
    """Return the digests of the recordings that are really analysed from now on; one of them is interrupted."""
    analysed: list[str] = []
    analyze = Analyzer.analyze

    def counted(self: Analyzer, source: bytes, **more: Any) -> Analysis:
        analysed.append(hashlib.sha256(source).hexdigest())
        if len(analysed) == stop_at:
            raise KeyboardInterrupt
        return analyze(self, source, **more)

    monkeypatch.setattr(Analyzer, "analyze", counted)
    return analysed


def without_time(record: RunRecord) -> dict[str, Any]:
    return record.to_dict() | {"seconds": 0}


def test_a_measurement_that_was_stopped_goes_on_where_it_was(
    home: Path, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = counting(monkeypatch, stop_at=6)
    with pytest.raises(KeyboardInterrupt):
        measure(home, replace(PLAN, name="stopped"), "stopped-cache")
    assert len(first) < 20 and not (home / "results" / "evaluated" / "stopped").exists()
    (folder,) = (home / "stopped-cache").iterdir()
    kept = len(list(folder.glob("*.json")))
    assert 0 < kept < 19
    monkeypatch.undo()
    rest = counting(monkeypatch)
    assert without_time(measure(home, PLAN, "stopped-cache")) == without_time(record)
    assert len(rest) == 20 - kept  # of 20 files that were asked for, one is broken and tried again each time
    rest.clear()
    damaged = sorted(folder.glob("*.json"))[0]
    damaged.write_text(damaged.read_text()[:9])
    assert without_time(measure(home, PLAN, "stopped-cache")) == without_time(record)
    assert len(rest) == 2


def test_another_model_of_the_same_name_is_measured_anew(home: Path, record: RunRecord) -> None:
    other = home / "other"
    checkpoint(other / "models" / "tiny", "hubert", LABELS, seed=1)
    shutil.copytree(home / "cache", other / "cache")
    changed = evaluate_model(PLAN, settings(other), home / "data", other / "results")
    assert changed.config["fingerprint"] != record.config["fingerprint"]
    assert changed.metrics != record.metrics or changed.confusion != record.confusion


def test_from_the_command_line(
    home: Path, record: RunRecord, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MODELS_DIR": home / "models", "CACHE": home / "cache", "DATA": home / "data"}.items():
        monkeypatch.setenv(f"SER_{name}", str(value))
    where = ["--results", str(home / "cli")]
    assert main(["evaluate", "hf:tiny", "--corpora", "ravdess", "--workers", "1", *where]) == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert shown["metrics"] == record.metrics and shown["note"] == record.note
    assert f"{BROKEN}.wav: " in err and "Traceback" not in err
    assert read_record(home / "cli", shown["id"]).to_dict()["confusion"] == record.to_dict()["confusion"]
    for arguments, sentence in (
        (["typo"], "There is no emotion model “typo”"),
        (["hf:tiny", "--corpora", "klingon"], "There is no reader for a corpus “klingon”"),
        (["hf:tiny", "--protocol", "wishful"], "There is no protocol “wishful”; there are as-is, paper"),
        (["hf:tiny", "--name", "../x"], "“../x” cannot be the name of a run's folder"),
    ):
        assert main(["evaluate", *arguments, *where]) == 2
        err = capsys.readouterr().err
        assert err.startswith(sentence) and err.count("\n") == 1


def test_what_cannot_be_measured_is_told(home: Path, tmp_path: Path) -> None:
    checkpoint(home / "models" / "keywords", labels=("yes", "no"))
    with pytest.raises(CorpusError, match="keywords has the labels yes, no, and no clip has one of them"):
        measure(home, replace(PLAN, model="hf:keywords"))
    with pytest.raises(CorpusError, match="There is no corpus in"):
        evaluate_model(Plan("hf:tiny"), settings(home), tmp_path, tmp_path / "results")
    with pytest.raises(InvalidSettings, match="no protocol “augmented-before-split”"):
        Plan("hf:tiny", protocol="augmented-before-split")
    with pytest.raises(WeightsUnavailable, match="There is no folder"):
        measure(home, Plan("hf:./nowhere"))
    assert not (tmp_path / "results").exists()
