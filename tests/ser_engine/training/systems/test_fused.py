"""A voice's run and a reader of words become one model, measured on the same strangers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.ser_engine.training.test_run import TOML, write_corpora

from ser_engine import Analyzer, Settings
from ser_engine.errors import CorpusError, InvalidSettings, WeightsUnavailable
from ser_engine.evaluation import predictions
from ser_engine.models import trained_on
from ser_engine.models.fused import Fused
from ser_engine.settings import PROJECT
from ser_engine.training.runner import run
from tests.ser_engine.models.tiny_text_emotion import make
from tests.tiny_models import write_models

VOICE = TOML.replace('conditions = ["telephone", "babble"]\n', "").replace("epochs = 12", "epochs = 4")
FUSED = """
id = "both"
architecture = "fused"
corpora = ["ravdess"]
speech = "tried"
text = "talkative"
"""


@dataclass(frozen=True)
class Bench:
    """A voice that was trained, and a folder to write more TOMLs into."""

    folder: Path
    settings: Settings
    voice: dict[str, Any]

    def run(self, name: str, toml: str) -> dict[str, Any]:
        """Run what a TOML says."""
        path = self.folder / f"{name}.toml"
        path.write_text(toml, encoding="utf-8")
        return run(path, self.folder / "data", self.settings, self.folder / "results")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("fused")
    write_corpora(folder / "data")
    models = write_models(folder / "models")
    settings = replace(Settings(), models_dir=models, cache=folder / "cache")
    make(settings, threshold=0.01).save(models / "talkative")
    make(settings, threshold=0.9999).save(models / "silent")
    made = Bench(folder, settings, {})
    return replace(made, voice=made.run("tried", VOICE))


def test_words_that_say_nothing_change_no_figure(bench: Bench) -> None:
    entry = bench.run("quiet", FUSED.replace("talkative", "silent").replace("both", "quiet"))
    assert entry["words"] == {"speak": 0.0, "change": 0.0, "lost": 0.0}
    for key in ("metrics", "by_corpus", "by_speaker", "confusion", "no_speech_found", "per_class"):
        assert entry[key] == bench.voice[key], key
    assert entry["parts"]["speech"] == {key: bench.voice["metrics"][key] for key in ("UA", "WA")}


def test_what_words_cost_is_measured_and_stands_on_the_card(bench: Bench) -> None:
    entry = bench.run("spoken", FUSED)
    assert entry["words"]["speak"] > 50 and entry["speaker_independent"] is True
    lost = entry["parts"]["speech"]["UA"] - entry["metrics"]["UA"]
    assert entry["words"]["lost"] == pytest.approx(lost, abs=0.011)
    written = (bench.folder / "results" / "spoken" / "run.json").read_text(encoding="utf-8")
    assert json.loads(written) == json.loads(json.dumps(entry))
    assert (bench.folder / "results" / "spoken" / "folds.json").exists()
    kept = bench.folder / "results" / "spoken"
    assert not predictions.differing(kept, predictions.recompute(kept))
    analyzer = Analyzer(replace(bench.settings, model="both"))
    assert isinstance(analyzer.model, Fused)
    card, cards = analyzer.card(), analyzer.cards()
    text = cards["both"]
    assert card is not None and list(cards) == ["both", "tiny"] and card["UA"] == entry["metrics"]["UA"]
    assert f"The voice alone has a UA of {entry['parts']['speech']['UA']:.1f}" in text
    assert "[tiny](../tiny/README.md)" in text and "[talkative](../talkative/README.md)" in text
    assert "forbids" in text and "listeners" in text  # what it is not for, and what people reached, stand there, too
    own, voices = (bench.settings.models_dir / name / trained_on.FILE for name in ("both", "tiny"))
    assert own.read_bytes() == voices.read_bytes()


def test_words_that_were_read_are_kept_for_another_voice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.run("kept", FUSED)
    monkeypatch.setattr("ser_engine.training.systems.fused.heard_words", fail)
    again = bench.run("kept", FUSED)
    assert (again["metrics"], again["words"]) == (first["metrics"], first["words"])
    with pytest.raises(AssertionError, match="listened"):  # what another reader said is no use
        bench.run("kept", FUSED.replace("talkative", "silent"))
    (bench.folder / "results" / "kept" / "words.npz").write_bytes(b"PK cut")
    with pytest.raises(AssertionError, match="listened"):
        bench.run("kept", FUSED)


def fail(*_: object) -> None:
    raise AssertionError("listened again")


def test_what_does_not_fit_is_one_sentence(bench: Bench, tmp_path: Path) -> None:
    for old, new, error, said in (
        ('corpora = ["ravdess"]', 'corpora = ["tess"]', InvalidSettings, "is about other corpora"),
        ('speech = "tried"', 'speech = "wrong"', InvalidSettings, "makes no model of a voice alone"),
        ('speech = "tried"', 'speech = "absent"', InvalidSettings, "There is no configuration"),
        ('text = "talkative"', 'text = "absent"', WeightsUnavailable, "absent"),
        ('speech = "tried"', 'speech = "untrained"', InvalidSettings, "holds nothing of what models said"),
    ):
        (bench.folder / "wrong.toml").write_text(FUSED, encoding="utf-8")
        (bench.folder / "untrained.toml").write_text(VOICE, encoding="utf-8")
        with pytest.raises(error, match=said):
            bench.run("bad", FUSED.replace(old, new))
    with pytest.raises(CorpusError):
        run(bench.folder / "spoken.toml", tmp_path, bench.settings, tmp_path)
    assert not (PROJECT / "models" / "both").exists()
