"""A whole experiment on a tiny corpus of generated speech: from the TOML to figures, a model and its card."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from ser_engine import Analyzer, Settings
from ser_engine.cli.main import main
from ser_engine.data.corpora import registry
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation import predictions
from ser_engine.models import trained_on
from ser_engine.settings import PROJECT
from ser_engine.training.runner import run
from tests.speech import RATE, encode, silence, speech, tone

# Of three of the published folds; each actor speaks both sentences in three "emotions", which are speeds of the tape.
ACTORS = {"01": ("man", 1.0), "04": ("woman", 1.0), "08": ("woman", 0.97)}
EMOTIONS = {"01": 1.0, "03": 1.3, "04": 0.75}
SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
LABELS = ["neutral", "happy", "sad"]
SILENT = "03-01-04-01-02-02-04"
TOML = f"""
id = "tiny"
architecture = "whisper-statistics"
corpora = ["ravdess"]
external = ["emodb"]
conditions = ["telephone", "babble"]
labels = {json.dumps(LABELS)}
members = 2
mixtures = 2
hidden = 16
epochs = 12
batch = 8
learning_rate = 5e-3
mixup = 0.2
attentive = 1
projection = 32
attentive_batch = 8
views = 1
"""


@dataclass(frozen=True)
class Bench:
    """Where an experiment is done, and what it returned."""

    config: Path
    data: Path
    settings: Settings
    results: Path
    entry: dict[str, Any]

    def again(self, results: Path, settings: Settings | None = None) -> dict[str, Any]:
        """Run the same once more into another folder."""
        return run(self.config, self.data, settings or self.settings, results)


def write_corpora(data: Path) -> None:
    """Write 18 clips in the manner of RAVDESS, one more without speech, and three in the manner of EMO-DB."""
    (data / "ravdess").mkdir(parents=True)
    (data / "emodb").mkdir()
    for actor, (voice, speed) in ACTORS.items():
        for emotion, pace in EMOTIONS.items():
            for statement, text in SENTENCES.items():
                samples = soxr.resample(speech(text, voice), RATE * pace * speed, RATE)
                (data / "ravdess" / f"03-01-{emotion}-01-{statement}-01-{actor}.wav").write_bytes(encode(samples))
    (data / "ravdess" / f"{SILENT}.wav").write_bytes(encode(tone(2.0)))
    (data / "emodb" / "03a01Nc.wav").write_bytes(encode(speech("It is eleven o'clock.")))
    (data / "emodb" / "08a01Ta.wav").write_bytes(encode(soxr.resample(speech(voice="woman"), RATE * 0.75, RATE)))
    (data / "emodb" / "08a01Lb.wav").write_bytes(encode(silence(1.0)))  # bored: nobody asks what it sounds like


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("run")
    write_corpora(folder / "data")
    config = folder / "tried.toml"
    config.write_text(TOML, encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models" / "whisper-base").symlink_to(PROJECT / "models" / "whisper-base", target_is_directory=True)
    settings = Settings(models_dir=folder / "models", cache=folder / "cache")
    results = folder / "results"
    return Bench(config, folder / "data", settings, results, run(config, folder / "data", settings, results))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def history(folder: Path, name: str = "tried") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name / "history.jsonl").read_text("utf-8").splitlines()]


def state(settings: Settings) -> Path:
    """Return the folder in which the finished folds are kept."""
    (folder,) = (settings.cache / "runs").iterdir()
    return folder


def measured(entry: dict[str, Any]) -> dict[str, Any]:
    """Return everything but how long it took."""
    return {key: value for key, value in entry.items() if key != "seconds"}


def test_conditions_are_tested_on_the_same_clips(bench: Bench) -> None:
    found = bench.entry["conditions"]
    assert list(found) == ["telephone", "babble"]
    for one in found.values():
        assert one["by_corpus"]["ravdess"]["clips"] == 19 and one["no_speech_found"] >= 1
        assert one["lost"] == pytest.approx(bench.entry["metrics"]["UA"] - one["UA"], abs=0.02)
    # Heard worse, the same voices are heard otherwise: no figure is a copy of the plain one's opinions.
    plain, telephone, babble = np.load(sorted(state(bench.settings).glob("fold-*.npy"))[0])
    assert not np.allclose(plain, telephone) and not np.allclose(plain, babble)


def test_run_json_says_what_was_done_and_is_what_was_returned(bench: Bench) -> None:
    entry = bench.entry
    assert read(bench.results / "tried" / "run.json") == json.loads(json.dumps(entry))
    assert not predictions.differing(bench.results / "tried", predictions.recompute(bench.results / "tried"))
    assert (entry["id"], entry["model"], entry["corpora"], entry["labels"]) == ("tried", "tiny", ["ravdess"], LABELS)
    assert entry["config"]["mixtures"] == 2 and entry["speaker_independent"] is True
    assert entry["by_corpus"]["ravdess"]["clips"] == 19
    assert {speaker: row["clips"] for speaker, row in entry["by_speaker"].items()} == {
        "ravdess/01": 6, "ravdess/04": 7, "ravdess/08": 6,
    }  # fmt: skip
    assert {gender: row["clips"] for gender, row in entry["by_gender"].items()} == {"female": 13, "male": 6}
    assert [sum(row) for row in entry["confusion"]] == [6, 6, 7]
    assert [finding["id"] for finding in entry["audit"]["findings"]] == ["shared-sentences", "speakers-apart"]


def test_strangers_are_understood(bench: Bench) -> None:
    # Three equally frequent classes that differ by the speed of the tape: far above one in three.
    assert bench.entry["metrics"]["UA"] > 55


def test_a_clip_without_speech_is_counted_and_wrong(bench: Bench) -> None:
    assert bench.entry["no_speech_found"] == 1
    sad = bench.entry["per_class"]["sad"]
    assert sad["support"] == 7
    assert sad["recall"] < 100
    assert bench.entry["metrics"]["WA"] <= round(100 * 18 / 19, 2)


def test_what_was_never_trained_on_is_measured_apart(bench: Bench) -> None:
    external = bench.entry["external"]["emodb"]
    assert (external["clips"], external["no_speech_found"]) == (2, 0)  # the bored one has no label of ours
    assert external["shared_labels"] == ["neutral", "sad"]


def test_each_fold_tests_those_whom_it_did_not_hear(bench: Bench) -> None:
    folds = read(bench.results / "tried" / "folds.json")
    assert {fold: row["test_speakers"] for fold, row in folds.items()} == {
        "1": ["ravdess/01"], "2": ["ravdess/04"], "3": ["ravdess/08"],
    }  # fmt: skip
    assert sum(row["clips"] for row in folds.values()) == 19


def test_history_tells_of_each_epoch_of_each_member_of_each_fold(bench: Bench) -> None:
    lines = history(bench.results)
    assert [(line["fold"], line["member"], line["epoch"]) for line in lines] == [
        (fold, member, epoch)
        for fold in ("1", "2", "3", "all")
        for member, epochs in ((0, 12), (1, 12), (2, 8))  # the last attends to frames
        for epoch in range(1, epochs + 1)
    ]


def test_the_model_is_there_answers_and_knows_its_figures(bench: Bench) -> None:
    settings = replace(bench.settings, model="tiny", transcribe=False)
    analyzer = Analyzer(settings)
    analysis = analyzer.analyze(bench.data / "ravdess" / "03-01-03-01-01-01-01.wav")
    assert analysis.model == "tiny"
    assert analysis.scores.labels == tuple(LABELS)
    assert analysis.scores.top == "happy"  # which it was trained on
    card = analyzer.card()
    assert card is not None
    assert {key: card[key] for key in ("UA", "WA", "UA_ci95", "ECE")} == {
        key: bench.entry["metrics"][key] for key in ("UA", "WA", "UA_ci95", "ECE")
    }
    assert card["per_corpus"] == bench.entry["by_corpus"]
    assert card["per_label"]["happy"] == {
        name: bench.entry["per_class"]["happy"][name] for name in ("recall", "precision")
    }
    assert card["not_sure"] == bench.entry["confidence"]["threshold"]
    assert analysis.not_sure_below == card["not_sure"]["below"] and analysis.sure is not None
    assert analysis.quality.warnings[0] == trained_on.WARNING
    assert f"| RAVDESS | {bench.entry['metrics']['UA']:.1f} |" in (
        bench.settings.models_dir / "tiny" / "README.md"
    ).read_text(encoding="utf-8")


def test_nothing_half_written_is_left(bench: Bench) -> None:
    for folder in (bench.results, bench.settings.cache, bench.settings.models_dir / "tiny"):
        assert not list(folder.rglob("*.part*"))


# --- once more


@pytest.fixture(scope="module")
def resumed(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What comes of the run if it had been stopped in its second fold: its entry, and where the results are."""
    folder = tmp_path_factory.mktemp("resumed")
    settings = replace(bench.settings, cache=folder / "cache")
    shutil.copytree(bench.settings.cache, settings.cache)
    for name in ("fold-2.npy", "fold-3.npy"):
        (state(settings) / name).unlink()
    # Should the first fold be trained again, it would not have these opinions: certain that everyone is sad.
    kept = np.load(state(settings) / "fold-1.npy")
    np.save(state(settings) / "fold-1.npy", np.broadcast_to(np.log([0.01, 0.01, 0.98]), kept.shape).astype(np.float32))
    return bench.again(folder / "results", settings), folder / "results"


def test_a_run_that_was_stopped_goes_on_at_the_fold_it_was_in(
    bench: Bench, resumed: tuple[dict[str, Any], Path]
) -> None:
    rows = resumed[0]["by_speaker"]
    assert rows["ravdess/01"]["UA"] == pytest.approx(100 / 3, abs=0.01)
    for speaker in ("ravdess/04", "ravdess/08"):
        assert rows[speaker] == bench.entry["by_speaker"][speaker]


def test_history_tells_of_a_resumed_fold_once(bench: Bench, resumed: tuple[dict[str, Any], Path]) -> None:
    assert history(resumed[1]) == history(bench.results)


def test_from_the_beginning_it_comes_to_the_same(bench: Bench, tmp_path: Path) -> None:
    settings = replace(bench.settings, cache=tmp_path / "cache")
    shutil.copytree(bench.settings.cache, settings.cache)
    shutil.rmtree(settings.cache / "runs")
    again = bench.again(tmp_path / "results", settings)
    assert measured(again) == measured(bench.entry)
    assert history(tmp_path / "results") == history(bench.results)


def test_another_recording_under_the_same_name_is_trained_on_anew(bench: Bench, tmp_path: Path) -> None:
    settings = replace(bench.settings, cache=tmp_path / "cache")
    shutil.copytree(bench.settings.cache, settings.cache)
    data = tmp_path / "data"
    shutil.copytree(bench.data, data)
    (data / "ravdess" / f"{SILENT}.wav").write_bytes(encode(speech("It is eleven o'clock.", "woman")))
    entry = run(bench.config, data, settings, tmp_path / "results")
    assert entry["no_speech_found"] == 0


def test_random_folds_are_measured_and_called_so_and_make_no_model(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "random.toml"
    short = TOML.replace('external = ["emodb"]\nconditions = ["telephone", "babble"]', "").replace("= 12", "= 2")
    others = 'id = "other"\nprotocol = "stratified-k-fold"\nsave = false'
    config.write_text(short.replace('id = "tiny"', others), encoding="utf-8")
    entry = run(config, bench.data, bench.settings, tmp_path)
    assert entry["protocol"] == "stratified-k-fold" and entry["speaker_independent"] is False
    assert entry["by_corpus"]["ravdess"]["clips"] == 19 and "external" not in entry
    assert "speakers-apart" not in [finding["id"] for finding in entry["audit"]["findings"]]
    assert not (bench.settings.models_dir / "other").exists()


# --- what cannot be run


def test_what_cannot_be_trained_is_told_before_anything_is_computed(bench: Bench, tmp_path: Path) -> None:
    settings = replace(bench.settings, cache=tmp_path / "cache")
    for old, new, sentence in (
        ("whisper-statistics", "wav2vec", r"asks for wav2vec, which cannot be trained\.$"),
        (
            'id = "tiny"',
            'id = "tiny"\nprotocol = "speaker-known"\nsave = false',
            r"asks for speaker-known; .* knows speaker-independent, stratified-k-fold\.$",
        ),
    ):
        config = tmp_path / "other.toml"
        config.write_text(TOML.replace(old, new), encoding="utf-8")
        with pytest.raises(InvalidSettings, match=sentence):
            run(config, bench.data, settings, tmp_path / "results")
    with pytest.raises(CorpusError, match="RAVDESS was looked for"):
        run(bench.config, tmp_path, settings, tmp_path / "results")
    assert not settings.cache.exists() and not (tmp_path / "results").exists()


def test_clips_of_labels_that_the_run_does_not_have_are_left_out(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "tried.toml"
    config.write_text(TOML.replace(json.dumps(LABELS), '["neutral", "happy"]'), encoding="utf-8")
    settings = replace(bench.settings, cache=tmp_path / "cache")
    shutil.copytree(bench.settings.cache, settings.cache)
    entry = run(config, bench.data, settings, tmp_path / "results")
    assert entry["by_corpus"]["ravdess"]["clips"] == 12
    assert len(registry.read_corpus("ravdess", bench.data)) == 19


def test_a_run_from_before_audits_is_audited_by_a_command(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(bench.results / "tried", folder)
    entry = read(folder / "run.json")
    audit = entry.pop("audit")
    (folder / "run.json").write_text(json.dumps(entry), encoding="utf-8")
    assert main(["audit", str(folder), "--data", str(bench.data)]) == (
        1 if any(finding["severity"] == "leak" for finding in audit["findings"]) else 0
    )
    assert read(folder / "run.json") == entry | {"audit": audit}
    assert main(["audit", str(folder), "--data", str(bench.data)]) == 2  # it has one already
