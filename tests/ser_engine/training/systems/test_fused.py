"""An audio run and a text model become one model, measured on the same unseen speakers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ser_engine import Analyzer, Settings
from ser_engine.errors import CorpusError, InvalidSettings, SerError, WeightsUnavailable
from ser_engine.evaluation.evaluate import recompute
from ser_engine.evaluation.record import RunRecord, read_record
from ser_engine.models import trained_on
from ser_engine.models.fused import Fused
from ser_engine.settings import PROJECT
from ser_engine.training.runner import run_experiment
from tests.ser_engine.models.tiny_text_emotion import make
from tests.ser_engine.training.tiny import STATISTICS, Bench, make_bench
from tests.tiny_models import write_models

AUDIO = STATISTICS.replace('degradations = ["telephone", "babble"]\n', "").replace("epochs = 12", "epochs = 4")
FUSED = """
id = "both"
system = "fused"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
audio_run = "test/tried"
text_model = "talkative"
"""


@dataclass(frozen=True)
class Ran:
    """A bench with an audio run."""

    bench: Bench
    audio: RunRecord


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("fused")
    models = write_models(folder / "models")
    make(replace(Settings(), models_dir=models), threshold=0.01).save(models / "talkative")
    make(replace(Settings(), models_dir=models), threshold=0.9999).save(models / "silent")
    bench = make_bench(folder, models)
    return Ran(bench, bench.run("tried", AUDIO))


def test_uninformative_words_change_no_figure(ran: Ran) -> None:
    record = ran.bench.run("quiet", FUSED.replace("talkative", "silent").replace("both", "quiet"))
    assert record.details["words"] == {"informative": 0.0, "changed": 0.0, "lost": 0.0}
    for name in ("metrics", "interval", "by_corpus", "by_speaker", "confusion", "no_speech", "per_class"):
        assert getattr(record, name) == getattr(ran.audio, name), name
    assert record.components["audio"] == {key: ran.audio.metrics[key] for key in ("UA", "WA")}


def test_the_cost_of_words_is_measured_and_on_the_card(ran: Ran) -> None:
    bench = ran.bench
    record = bench.run("spoken", FUSED)
    words = record.details["words"]
    assert words["informative"] > 50 and record.speaker_independent is True
    assert words["lost"] == pytest.approx(record.components["audio"]["UA"] - record.metrics["UA"], abs=0.011)
    assert read_record(bench.results, record.id).to_dict() == record.to_dict()
    assert (bench.results / record.id / "folds.json").exists()
    assert recompute(bench.results, record.id)[1] == []
    analyzer = Analyzer(replace(bench.settings, model="both"))
    assert isinstance(analyzer.model, Fused)
    card, cards = analyzer.card(), analyzer.cards()
    text = " ".join(cards["both"].split())
    assert card is not None and list(cards) == ["both", "tiny"] and card["UA"] == record.metrics["UA"]
    assert f"Audio alone has a UA of {record.components['audio']['UA']:.1f}" in text
    assert "[tiny](../tiny/README.md)" in text and "[talkative](../talkative/README.md)" in text
    assert "forbids" in text and "listeners" in text  # what it is not for, and listeners' figures
    own, audio = (bench.settings.models_dir / name / trained_on.FILE for name in ("both", "tiny"))
    assert own.read_bytes() == audio.read_bytes()


def test_the_odds_of_words_are_saved_for_another_audio_run(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ran.bench.run("kept", FUSED)
    monkeypatch.setattr("ser_engine.training.systems.fused.transcribe_clips", fail)
    again = ran.bench.run("kept", FUSED)
    assert (again.metrics, again.details) == (first.metrics, first.details)
    with pytest.raises(AssertionError, match="transcribed"):  # those of another text model do not fit
        ran.bench.run("kept", FUSED.replace("talkative", "silent"))
    (ran.bench.results / first.id / "words.npz").write_bytes(b"PK cut")
    with pytest.raises(AssertionError, match="transcribed"):
        ran.bench.run("kept", FUSED)


def fail(*_: object) -> None:
    raise AssertionError("transcribed again")


@pytest.mark.parametrize(
    ("old", "new", "error", "reason"),
    [
        ('corpora = ["ravdess"]', 'corpora = ["tess"]', InvalidSettings, "differ in corpora or labels"),
        ("test/tried", "test/unsaved", InvalidSettings, "which saves no model"),
        ("test/tried", "test/absent", InvalidSettings, "There is no configuration"),
        ('"talkative"', '"absent"', WeightsUnavailable, "absent"),
        ("test/tried", "test/untrained", InvalidSettings, "holds no predictions"),
    ],
)
def test_invalid_configurations_are_one_sentence(
    ran: Ran, old: str, new: str, error: type[SerError], reason: str
) -> None:
    ran.bench.write("unsaved", AUDIO.replace("save = true", ""))
    ran.bench.write("untrained", AUDIO)
    with pytest.raises(error, match=reason):
        ran.bench.run("bad", FUSED.replace(old, new))


def test_missing_corpora_are_errors(ran: Ran, tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        run_experiment(ran.bench.write("spoken", FUSED), "", replace(ran.bench.settings, data=tmp_path))
    assert not (PROJECT / "models" / "both").exists()
