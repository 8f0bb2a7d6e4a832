"""A whole experiment on a tiny corpus of generated speech: from the TOML to a record, a model and its card."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine import Analyzer
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.evaluate import recompute
from ser_engine.evaluation.predictions import MAIN, read_predictions
from ser_engine.evaluation.record import RunRecord, read_record
from ser_engine.models import trained_on
from ser_engine.settings import PROJECT
from ser_engine.training.runner import run_experiment
from tests.ser_engine.training.tiny import LABELS, SILENT, STATISTICS, Bench, bench_in, make_bench
from tests.speech import encode, speech

ID = "test/tried/speaker-independent"


@dataclass(frozen=True)
class Ran:
    """A bench on which an experiment was run, and its record."""

    bench: Bench
    record: RunRecord

    @property
    def folder(self) -> Path:
        """The run's folder of results."""
        return self.bench.results / ID

    def again(self, cache: Path, results: Path) -> RunRecord:
        """Run the same once more with another cache, into another folder."""
        bench = replace(self.bench, settings=replace(self.bench.settings, cache=cache))
        return run_experiment(bench.write("tried", STATISTICS), "", replace(bench.settings, results=results))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("run")
    (folder / "models").mkdir()
    (folder / "models" / "whisper-base").symlink_to(PROJECT / "models" / "whisper-base", target_is_directory=True)
    bench = make_bench(folder, folder / "models")
    return Ran(bench, bench.run("tried", STATISTICS))


def figures(record: RunRecord) -> dict[str, Any]:
    """Return everything but how long it took."""
    return record.to_dict() | {"seconds": 0}


def test_the_record_is_written_as_it_is_returned(ran: Ran) -> None:
    record = ran.record
    assert read_record(ran.bench.results, ID).to_dict() == record.to_dict()
    assert recompute(ran.bench.results, ID)[1] == []
    assert (record.id, record.model, record.corpora, record.labels) == (ID, "tiny", ("ravdess",), LABELS)
    assert record.config["mixtures"] == 2 and record.speaker_independent is True
    assert record.by_corpus["ravdess"]["clips"] == 19
    assert {speaker: row["clips"] for speaker, row in record.by_speaker.items()} == {
        "ravdess/01": 6, "ravdess/04": 7, "ravdess/08": 6,
    }  # fmt: skip
    assert {gender: row["clips"] for gender, row in record.by_gender.items()} == {"female": 13, "male": 6}
    assert [sum(row) for row in record.confusion] == [6, 6, 7]
    assert [finding["id"] for finding in record.audit["findings"]] == ["shared-sentences", "speakers-apart"]


def test_unseen_speakers_are_classified_above_chance(ran: Ran) -> None:
    # Three equally frequent classes that differ by the speed of the tape: far above one in three.
    assert ran.record.metrics["UA"] > 55


def test_a_clip_without_speech_is_an_outcome_of_its_own(ran: Ran) -> None:
    record = ran.record
    assert record.no_speech == 1
    assert [row[-1] for row in record.confusion] == [0, 0, 1]
    sad = record.per_class["sad"]
    assert sad["support"] == 7 and sad["recall"] <= round(100 * 6 / 7, 2)
    predicted = [sum(row[label] for row in record.confusion) for label in range(3)]
    assert sum(predicted) == 18  # it is no prediction of another class
    for label, name in enumerate(LABELS):
        expected = 100 * record.confusion[label][label] / predicted[label] if predicted[label] else 0
        assert record.per_class[name]["precision"] == pytest.approx(expected, abs=0.01)


def test_degradations_are_tested_on_the_same_clips(ran: Ran) -> None:
    assert list(ran.record.degradations) == ["telephone", "babble"]
    for row in ran.record.degradations.values():
        assert row["no_speech"] >= 1
        assert row["lost"] == pytest.approx(ran.record.metrics["UA"] - row["UA"], abs=0.02)
    outputs = read_predictions(ran.folder).outputs
    for name in ("telephone", "babble"):
        assert not np.allclose(outputs[MAIN], outputs[f"degraded.{name}"], equal_nan=True)


def test_external_corpora_are_measured_apart(ran: Ran) -> None:
    external = ran.record.external["emodb"]
    assert (external["clips"], external["no_speech"]) == (2, 0)  # the bored one has no label of ours
    assert external["shared_labels"] == ["neutral", "sad"]


def test_each_fold_tests_speakers_that_are_not_in_its_training(ran: Ran) -> None:
    folds = json.loads((ran.folder / "folds.json").read_text(encoding="utf-8"))
    assert {fold: row["test_speakers"] for fold, row in folds.items()} == {
        "1": ["ravdess/01"], "2": ["ravdess/04"], "3": ["ravdess/08"],
    }  # fmt: skip
    assert sum(row["clips"] for row in folds.values()) == 19


def test_the_history_has_each_epoch_of_each_member_of_each_fold(ran: Ran) -> None:
    lines = ran.bench.history(ID)
    assert [(line["fold"], line["member"], line["epoch"]) for line in lines] == [
        (fold, member, epoch)
        for fold in ("1", "2", "3", "all")
        for member, epochs in ((0, 12), (1, 12), (2, 8))  # the last pools frames
        for epoch in range(1, epochs + 1)
    ]


def test_the_saved_model_answers_and_has_the_figures(ran: Ran) -> None:
    analyzer = Analyzer(replace(ran.bench.settings, model="tiny", transcribe=False))
    analysis = analyzer.analyze(ran.bench.data / "ravdess" / "03-01-03-01-01-01-01.wav")
    assert analysis.model == "tiny"
    assert analysis.scores.labels == LABELS
    assert analysis.scores.top == "happy"  # which it was trained on
    card, record = analyzer.card(), ran.record
    assert card is not None and record.interval is not None
    assert {key: card[key] for key in ("UA", "WA", "ECE")} == {key: record.metrics[key] for key in ("UA", "WA", "ECE")}
    assert card["UA_ci95"] == list(record.interval) and card["per_corpus"] == record.by_corpus
    assert card["per_label"]["happy"] == {key: record.per_class["happy"][key] for key in ("recall", "precision")}
    assert card["not_sure"] == record.calibration["threshold"]
    assert analysis.threshold == card["not_sure"]["below"] and analysis.sure is not None
    assert analysis.quality.warnings[0] == trained_on.WARNING
    text = (ran.bench.settings.models_dir / "tiny" / "README.md").read_text(encoding="utf-8")
    assert f"| RAVDESS | {record.metrics['UA']:.1f} |" in text


def test_no_partial_files_are_left(ran: Ran) -> None:
    for folder in (ran.bench.results, ran.bench.settings.cache, ran.bench.settings.models_dir / "tiny"):
        assert not list(folder.rglob("*.part*"))


# --- once more


@pytest.fixture(scope="module")
def resumed(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    """Return the record of the run if it had been stopped in its second fold, and where it is."""
    folder = tmp_path_factory.mktemp("resumed")
    shutil.copytree(ran.bench.settings.cache, folder / "cache")
    (state,) = (folder / "cache" / "runs" / ID).iterdir()
    for name in ("outputs-1.npz", "outputs-2.npz"):
        (state / name).unlink()
    # If the first fold were trained again, it would not have these outputs: certain that everyone is sad.
    saved = dict(np.load(state / "outputs-0.npz"))
    saved[MAIN] = np.broadcast_to(np.log([0.01, 0.01, 0.98]), saved[MAIN].shape).astype(np.float32)
    np.savez(state / "outputs-0.npz", **saved)
    return ran.again(folder / "cache", folder / "results"), folder / "results"


def test_a_stopped_run_resumes_at_its_fold(ran: Ran, resumed: tuple[RunRecord, Path]) -> None:
    rows = resumed[0].by_speaker
    assert rows["ravdess/01"]["UA"] == pytest.approx(100 / 3, abs=0.01)
    for speaker in ("ravdess/04", "ravdess/08"):
        assert rows[speaker] == ran.record.by_speaker[speaker]


def test_the_history_has_a_resumed_fold_once(ran: Ran, resumed: tuple[RunRecord, Path]) -> None:
    assert (resumed[1] / ID / "history.jsonl").read_bytes() == (ran.folder / "history.jsonl").read_bytes()


def test_a_run_from_the_beginning_has_the_same_figures(ran: Ran, tmp_path: Path) -> None:
    shutil.copytree(ran.bench.settings.cache, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache" / "runs")
    again = ran.again(tmp_path / "cache", tmp_path / "results")
    assert figures(again) == figures(ran.record)
    assert (tmp_path / "results" / ID / "history.jsonl").read_bytes() == (ran.folder / "history.jsonl").read_bytes()


def test_another_recording_under_the_same_name_is_another_run(ran: Ran, tmp_path: Path) -> None:
    shutil.copytree(ran.bench.settings.cache, tmp_path / "cache")
    shutil.copytree(ran.bench.data, tmp_path / "data")
    (tmp_path / "data" / "ravdess" / f"{SILENT}.wav").write_bytes(encode(speech("It is eleven o'clock.", "woman")))
    bench = bench_in(tmp_path, ran.bench.settings)
    assert bench.run("tried", STATISTICS).no_speech == 0


def test_random_folds_are_measured_and_save_no_model(ran: Ran) -> None:
    short = STATISTICS.replace('external = ["emodb"]\ndegradations = ["telephone", "babble"]', "").replace(
        "= 12", "= 2"
    )
    random = short.replace('"tiny"', '"other"').replace('["speaker-independent"]', '["stratified-k-fold"]')
    record = ran.bench.run("random", random.replace("save = true", ""))
    assert record.protocol == "stratified-k-fold" and record.speaker_independent is False
    assert record.by_corpus["ravdess"]["clips"] == 19 and not record.external
    assert "speakers-apart" not in [finding["id"] for finding in record.audit["findings"]]
    assert not (ran.bench.settings.models_dir / "other").exists()


# --- errors


def test_errors_come_before_anything_is_computed(ran: Ran, tmp_path: Path) -> None:
    bench = bench_in(tmp_path, ran.bench.settings)
    with pytest.raises(InvalidSettings, match="There is no system “wav2vec”"):
        bench.run("other", STATISTICS.replace("whisper-statistics", "wav2vec"))
    with pytest.raises(CorpusError, match="RAVDESS"):
        bench.run("other", STATISTICS)
    assert not bench.settings.cache.exists() and not bench.results.exists()


# --- a new system


TOY = re.search(r"```python\n(.*?)```", (PROJECT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
"""The example of a system in CONTRIBUTING.md: it predicts the distribution of the training labels."""


def test_a_new_system_is_one_file_and_one_toml(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ser_engine.cli.main import main
    from ser_engine.training import systems

    assert TOY
    (tmp_path / "toy.py").write_text(textwrap.dedent(TOY[1]), encoding="utf-8")
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(tmp_path)])
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    bench = Bench(tmp_path, ran.bench.settings)
    protocols = ["speaker-independent", "stratified-k-fold"]
    toml = bench.write(
        "toy", f'id = "toy"\nsystem = "toy"\nprotocols = {json.dumps(protocols)}\ncorpora = ["ravdess"]\n'
    )
    given = ["--data", str(ran.bench.data), "--results", str(bench.results)]
    assert main(["train", str(toml), *given]) == 0
    saved = bench.write("saved", toml.read_text("utf-8") + "save = true\n")
    assert main(["train", str(saved), *given]) != 0 and "toy cannot save a model" in capsys.readouterr().err
    assert "no_speech" not in capsys.readouterr().err
    for protocol in protocols:
        record = read_record(bench.results, f"test/toy/{protocol}")
        assert record.metrics["UA_mean"] == pytest.approx(100 / 3, abs=0.01) and record.system == "toy"
        assert main(["evaluate", f"test/toy/{protocol}", "--results", str(bench.results)]) == 0
