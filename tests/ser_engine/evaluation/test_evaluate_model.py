"""A finished model measured on a tiny corpus: what is counted, what is said of its worth, and going on after a stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.ser_engine.training.test_run import SILENT, write_corpora

from ser_engine import Analyzer, Settings
from ser_engine.cli.main import main
from ser_engine.data import manifest
from ser_engine.data.corpora import registry
from ser_engine.errors import CorpusError, InvalidSettings, NoSpeech, WeightsUnavailable
from ser_engine.evaluation.evaluate_model import Plan, evaluate
from ser_engine.settings import PROJECT
from ser_engine.types import Analysis
from tests.ser_engine.models.test_hub import checkpoint, edit
from ui.results.run_files import Run, read_run

BROKEN = "03-01-03-01-02-02-04"  # a happy one
OTHERS = "03-01-08-01-01-01-01"  # surprised, which the model has no label for
LABELS = ("neu", "female_sad", "hap", "male_sad", "bored")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


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


def measured(home: Path, plan: Plan, cache: str = "cache") -> dict[str, Any]:
    return evaluate(plan, home / "data", settings(home, cache), home / "results", workers=2)


PLAN = Plan("hf:tiny", ("RAVDESS",))


@pytest.fixture(scope="module")
def entry(home: Path) -> dict[str, Any]:
    return measured(home, PLAN)


def test_run_json_has_what_every_run_has(home: Path, entry: dict[str, Any]) -> None:
    path = home / "results" / "evaluated-tiny-ravdess-as_is" / "run.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(entry))
    example = json.loads((PROJECT / "results" / "ours-svm-speaker_independent" / "run.json").read_text())
    assert set(example) <= set(entry)
    shown = read_run(path)
    assert isinstance(shown, Run) and shown.problems == ()
    assert (shown.model, shown.corpora, shown.labels) == ("tiny", ("ravdess",), ("neutral", "happy", "sad", "bored"))
    assert shown.confusion and shown.by_speaker and shown.by_gender and shown.audit and shown.size_mb is not None
    assert not list(home.rglob("*.part"))


def test_what_cannot_count_is_left_out_and_counted(entry: dict[str, Any]) -> None:
    assert entry["left_out"] == {"surprised": 1}
    assert entry["dropped"] == 1
    assert (entry["clips"], entry["tested"], entry["no_speech_found"]) == (19, 19, 1)
    assert {label: row["support"] for label, row in entry["per_class"].items()} == {"neutral": 6, "happy": 6, "sad": 7}


def test_what_is_counted_is_what_the_application_answers(home: Path, entry: dict[str, Any]) -> None:
    analyzer = Analyzer(replace(settings(home), model="tiny", transcribe=False))
    labels = ["neutral", "happy", "sad", "bored"]
    confusion = np.zeros((4, 4), int)
    sure = []
    for clip in registry.read("ravdess", home / "data"):
        if clip.name in (BROKEN, OTHERS):
            continue
        true = labels.index(str(clip.label))
        try:
            scores = analyzer.analyze(clip.path).scores
            confusion[true, labels.index(scores.top)] += 1
            sure.append(scores.probabilities.max())
        except NoSpeech:
            assert clip.name == SILENT
            confusion[true, (true + 1) % 4] += 1
    assert entry["confusion"] == confusion.tolist()
    assert len(np.unique(np.round(sure, 4))) > 5  # the clips do differ


def test_it_says_that_nobody_knows_what_the_model_has_heard(entry: dict[str, Any]) -> None:
    assert entry["speaker_independent"] is False
    assert entry["protocol"] == "as-is (every clip once; what the model was trained on is not known)"
    assert entry["note"].startswith("What this model was trained on is not known")
    (finding,) = entry["audit"]["findings"]
    assert (finding["severity"], finding["count"], finding["sentence"]) == ("warning", 19, entry["note"])


def test_who_knows_better_may_say_so_and_the_result_says_who_said_it(home: Path) -> None:
    told = measured(home, replace(PLAN, unseen=True, name="told"))
    assert told["id"] == "told" and (home / "results" / "told" / "run.json").is_file()
    assert told["speaker_independent"] is True
    assert "said to be new" in told["protocol"] and "not checked" in told["note"]
    assert [finding["severity"] for finding in told["audit"]["findings"]] == ["note"]


def test_a_model_that_was_trained_on_the_corpus_is_not_independent_of_it(home: Path) -> None:
    edit(checkpoint(home / "models" / "ours", labels=LABELS), corpora=["CREMA-D", "ravdess"])
    entry = measured(home, replace(PLAN, model="ours"))
    assert entry["speaker_independent"] is False
    assert (
        "the model was trained on ravdess" in entry["protocol"] and "ravdess was part of its training" in entry["note"]
    )
    assert [finding["severity"] for finding in entry["audit"]["findings"]] == ["leak"]
    with pytest.raises(InvalidSettings, match="ours was trained on ravdess, as its config"):
        measured(home, replace(PLAN, model="ours", unseen=True))


def test_a_manifest_may_hold_anything_so_nothing_is_promised(home: Path) -> None:
    edit(checkpoint(home / "models" / "apart", labels=LABELS), corpora=["cremad"])
    assert measured(home, replace(PLAN, model="apart"))["speaker_independent"] is True
    clips = [replace(clip, corpus="mine") for clip in registry.read("ravdess", home / "data") if clip.name != BROKEN]
    manifest.write(clips[:6], home / "data" / "mine.csv")
    entry = measured(home, replace(PLAN, model="apart", corpora=("mine.csv",)))
    assert entry["corpora"] == ["mine"] and entry["speaker_independent"] is False
    assert "not known" in entry["protocol"]
    edit(checkpoint(home / "models" / "vague", labels=LABELS), corpora=["cremad", "lab/train.csv"])
    assert measured(home, replace(PLAN, model="vague"))["speaker_independent"] is False


def test_the_shipped_model_is_measured_on_a_corpus_that_it_does_not_know(home: Path, tmp_path: Path) -> None:
    ours = Settings(cache=tmp_path / "cache")
    entry = evaluate(Plan("whisper-base-statistics", ("emodb",)), home / "data", ours, tmp_path / "results")
    assert entry["model"] == "whisper-base-statistics" and entry["speaker_independent"] is True
    assert "trained on other corpora" in entry["protocol"] and entry["left_out"] == {}
    assert entry["tested"] == 2  # the bored one has no label of ours


def test_the_test_clips_of_a_protocol_alone_can_be_counted(home: Path) -> None:
    entry = measured(home, replace(PLAN, protocol="speaker-independent"))
    assert entry["protocol"].startswith("as-is (the test clips of speaker-independent; ")
    assert entry["speaker_independent"] is False  # of the folds, not of what the model heard in its youth
    assert entry["tested"] == 19 and {"UA_mean", "UA_std"} <= set(entry["metrics"])
    part = measured(home, replace(PLAN, protocol="paper"))
    assert 0 < part["tested"] < part["clips"] == 19
    assert sum(row["clips"] for row in part["by_corpus"].values()) == part["tested"]


def test_a_label_set_merges_the_models_labels_as_it_merges_the_clips(home: Path) -> None:
    checkpoint(home / "models" / "calm", labels=("calm", "neutral", "happy", "sad"))
    plan = replace(PLAN, model="hf:calm")
    assert measured(home, plan)["labels"] == ["neutral", "calm", "happy", "sad"]
    assert measured(home, replace(plan, label_set="islam"))["labels"] == ["neutral", "happy", "sad"]


def counting(monkeypatch: pytest.MonkeyPatch, stop_at: int = 0) -> list[str]:
    """Return the names of the recordings that are really analysed from now on; one of them is interrupted."""
    analysed: list[str] = []
    analyze = Analyzer.analyze

    def counted(self: Analyzer, source: bytes, **more: Any) -> Analysis:
        analysed.append(more["name"])
        if len(analysed) == stop_at:
            raise KeyboardInterrupt
        return analyze(self, source, **more)

    monkeypatch.setattr(Analyzer, "analyze", counted)
    return analysed


def without_time(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"seconds": 0}


def test_a_measurement_that_was_stopped_goes_on_where_it_was(
    home: Path, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = counting(monkeypatch, stop_at=6)
    with pytest.raises(KeyboardInterrupt):
        measured(home, replace(PLAN, name="stopped"), "stopped-cache")
    assert len(first) < 20 and not (home / "results" / "stopped").exists()
    (folder,) = (home / "stopped-cache").iterdir()
    kept = len(list(folder.glob("*.json")))
    assert 0 < kept < 19
    monkeypatch.undo()
    rest = counting(monkeypatch)
    assert without_time(measured(home, PLAN, "stopped-cache")) == without_time(entry)
    assert len(rest) == 20 - kept  # of 20 files that were asked for, one is broken and tried again each time
    rest.clear()
    damaged = sorted(folder.glob("*.json"))[0]
    damaged.write_text(damaged.read_text()[:9])
    assert without_time(measured(home, PLAN, "stopped-cache")) == without_time(entry)
    assert len(rest) == 2


def test_another_model_of_the_same_name_is_measured_anew(home: Path, entry: dict[str, Any]) -> None:
    other = home / "other"
    checkpoint(other / "models" / "tiny", "hubert", LABELS, seed=1)
    shutil.copytree(home / "cache", other / "cache")
    changed = evaluate(PLAN, home / "data", settings(other), other / "results")
    assert changed["config"]["fingerprint"] != entry["config"]["fingerprint"]
    assert changed["metrics"] != entry["metrics"] or changed["confusion"] != entry["confusion"]


def test_from_the_command_line(
    home: Path, entry: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MODELS_DIR": home / "models", "CACHE": home / "cache", "DATA": home / "data"}.items():
        monkeypatch.setenv(f"SER_{name}", str(value))
    where = ["--results", str(home / "cli")]
    assert main(["evaluate", "hf:tiny", "--corpora", "ravdess", "--workers", "1", *where]) == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert shown["metrics"] == entry["metrics"] and shown["note"] == entry["note"]
    assert f"{BROKEN}.wav: " in err and "Traceback" not in err
    stored = json.loads((home / "cli" / shown["id"] / "run.json").read_text())
    assert stored["confusion"] == entry["confusion"]
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
    with pytest.raises(CorpusError, match="keywords knows yes, no, and no clip has one of these labels"):
        measured(home, replace(PLAN, model="hf:keywords"))
    with pytest.raises(CorpusError, match="There is no corpus in"):
        evaluate(Plan("hf:tiny"), tmp_path, settings(home), tmp_path / "results")
    with pytest.raises(InvalidSettings, match="no protocol “augmented-before-split”"):
        Plan("hf:tiny", protocol="augmented-before-split")
    with pytest.raises(WeightsUnavailable, match="There is no folder"):
        measured(home, Plan("hf:./nowhere"))
    assert not (tmp_path / "results").exists()
