"""A whole classical experiment on a tiny corpus: from the TOML to figures, resumed, and refused in one sentence."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.record import RunRecord, read_record
from ser_engine.models.classical import Classical
from ser_engine.models.registry import load_model
from ser_engine.settings import PROJECT
from ser_engine.training.clips import training_rows
from ser_engine.training.config import load_config
from ser_engine.training.runner import prepare_run, run_experiment
from ser_engine.training.system import Task
from ser_engine.training.systems.classical import ClassicalSystem
from tests.ser_engine.training.tiny import Bench, make_bench

TOML = """
id = "tried"
system = "classical"
protocols = ["{protocol}"]
estimator = "{estimator}"
features = "acoustic94"
corpora = ["ravdess"]
optional_corpora = ["savee"]
label_set = "eight"
{folds}
preprocessing = "none"
"""
ID = "test/tried/speaker-independent"


def toml(
    more: str = "", estimator: str = "lda", protocol: str = "speaker-independent", folds: str = "folds = 3"
) -> str:
    return TOML.format(estimator=estimator, protocol=protocol, folds=folds) + more


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("classical")
    return make_bench(folder, folder / "models")


@pytest.fixture(scope="module")
def record(bench: Bench) -> RunRecord:
    return bench.run("tried", toml("save = true\npublished = 'nobody/table-1/LDA'\nnote = 'Tiny.'\n"))


def test_the_record_of_a_run(bench: Bench, record: RunRecord) -> None:
    assert read_record(bench.results, ID).to_dict() == record.to_dict()
    assert (record.id, record.model, record.features) == (ID, "tried", "acoustic94")
    assert record.corpora == ("ravdess",) and record.missing_corpora == ("savee",)
    assert record.labels == ("neutral", "happy", "sad")
    assert record.speaker_independent is True and record.protocol == "speaker-independent"
    assert (record.clips, record.tested, record.dropped) == (19, 19, 0)
    assert (record.published, record.note) == (("nobody/table-1/LDA",), "Tiny.")
    assert {"WA", "UA", "UA_plus_WA", "macro_f1", "weighted_f1", "UA_mean", "UA_std"} <= set(record.metrics)
    assert np.array(record.confusion).sum() == 19 and record.interval is not None
    assert set(record.by_speaker) == {"ravdess/01", "ravdess/04", "ravdess/08"}
    assert set(record.by_gender) == {"female", "male"}
    assert record.config["estimator"] == "lda" and record.seconds is not None and record.calibration
    folds = json.loads((bench.results / ID / "folds.json").read_text())
    assert sorted(fold["test_speakers"] for fold in folds.values()) == [["ravdess/01"], ["ravdess/04"], ["ravdess/08"]]


def test_the_audit_of_the_split_is_part_of_the_record(bench: Bench, record: RunRecord) -> None:
    def leaks(of: RunRecord) -> str:
        return json.dumps([finding for finding in of.audit["findings"] if finding["severity"] == "leak"])

    assert "speaker" not in leaks(record)
    mixed = bench.run("mixed", toml(protocol="stratified-k-fold"))
    assert mixed.speaker_independent is False and "speaker" in leaks(mixed) and "speakers" in mixed.split


def test_the_saved_model_has_the_labels(bench: Bench, record: RunRecord) -> None:
    model = load_model(bench.settings.models_dir / "tried", bench.settings)
    assert isinstance(model, Classical) and model.labels == record.labels


def test_a_stopped_run_resumes_and_ends_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit = ClassicalSystem.fit

    def count(self: ClassicalSystem, prepared: Any, task: Task) -> Any:
        fitted.append(task.number)
        return fit(self, prepared, task)

    monkeypatch.setattr(ClassicalSystem, "fit", count)
    first = bench.run("resumed", toml("seed = 5\n", estimator="mlp"))
    assert fitted == [0, 1, 2]
    state = bench.state("test/resumed/speaker-independent")
    (state / "outputs-1.npz").unlink()
    again = bench.run("resumed", toml("seed = 5\n", estimator="mlp"))
    assert fitted == [0, 1, 2, 1]
    assert again.to_dict() | {"seconds": 0} == first.to_dict() | {"seconds": 0}
    history = bench.history("test/resumed/speaker-independent")
    assert [line["fold"] for line in history if line["epoch"] == 1] == ["1", "2", "3"]
    assert all(line["loss"] > 0 for line in history)


def test_copies_are_trained_on_and_never_tested(bench: Bench) -> None:
    record = bench.run("augmented", toml('augmentation = "gomes"\n'))
    assert record.tested == 19 and record.features == "acoustic94, gomes augmentation"


def test_copies_made_before_the_split_are_tested_and_the_record_says_so(bench: Bench) -> None:
    record = bench.run("leaky", toml('augmentation = "gomes"\n', protocol="augmented-before-split"))
    assert record.tested is not None and record.tested > 19 and record.tested % 19 == 0 and record.leaky
    assert [f for f in record.audit["findings"] if "twin" in json.dumps(f) and f["severity"] == "leak"]


def test_balancing_prefers_recordings_to_their_copies(bench: Bench) -> None:
    path = bench.write("balanced", toml('augmentation = "gomes"\nbalance = "count"\nbalance_to = 9\n'))
    run = prepare_run(path, "", bench.settings)
    clips = run.prepared.clips
    rows, copies = training_rows(run.system.config, clips.labels, np.arange(19), run.prepared.features.shape[1], 0)
    labels = clips.labels[rows]
    for label in ("neutral", "happy", "sad"):
        assert (labels == label).sum() == 9
        own = set(np.flatnonzero(clips.labels == label).tolist())
        assert set(rows[(labels == label) & (copies == 0)].tolist()) == own  # each recording, then some copies


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('augmentation = "nobody"', "augmentation is 'nobody', but it can be"),
        ('balance = "harmony"', "balance is 'harmony'"),
        ('balance = "count"', "belong together"),
        ("[parameters]\nwings = 2", "cannot be made of these parameters"),
        ("folds = 1", "folds is 1"),
        ("save = 1", "save is 1"),
        ("parameters = 3", "parameters is 3"),
    ],
)
def test_invalid_configurations_are_refused_before_any_work(bench: Bench, more: str, sentence: str) -> None:
    text = toml(more + "\n", folds="" if more.startswith("folds") else "folds = 3")
    with pytest.raises(InvalidSettings, match=sentence):
        bench.run("wrong", text)
    assert not (bench.results / "test" / "wrong").exists()


def test_a_corpus_that_is_not_optional_has_to_be_there(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(bench.data / "emodb", tmp_path / "emodb")
    with pytest.raises(CorpusError, match="RAVDESS"):
        run_experiment(bench.write("tried", toml()), "", replace(bench.settings, data=tmp_path))


def test_a_system_that_cannot_be_fitted_is_an_error(bench: Bench) -> None:
    with pytest.raises(InvalidSettings, match=r"knn cannot be fitted on these clips: .*n_neighbors"):
        bench.run("wrong", toml("[parameters]\nn_neighbors = -1\n", estimator="knn"))


def test_a_few_clips_are_drawn_from_all_labels(bench: Bench) -> None:
    def names(seed: int) -> list[str]:
        path = bench.write("few", toml(f"clips = 7\nseed = {seed}\n"))
        clips = prepare_run(path, "", bench.settings).prepared.clips
        assert sorted(np.unique(clips.labels, return_counts=True)[1].tolist()) == [2, 2, 3]
        return [utterance.name for utterance in clips.utterances]

    assert names(0) != names(1)


@pytest.mark.corpora
def test_the_smoke_configuration_runs_on_real_speech(ser_data: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    path = PROJECT / "configs" / "ours" / "smoke.toml"
    record = run_experiment(path, "", Settings(data=ser_data, cache=tmp_path / "cache", results=tmp_path / "results"))
    assert time.monotonic() - begun < 120
    assert record.clips == 240 and record.speaker_independent and len(record.labels) == 8
    assert record.metrics["UA"] > 100 / 8  # better than chance
    assert load_config(path).hardware
