"""A reader of words trained on a few made-up sentences: it learns, goes on after a stop, and tells what it measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_engine import Settings
from ser_engine.data.acted_sentences import acted_sentences
from ser_engine.data.corpora import goemotions
from ser_engine.data.corpora.goemotions import LABELS, Sentences
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import CONFIG
from ser_engine.models.text_emotion import TextEmotion, TextEmotionNetwork
from ser_engine.training import fit_text_emotion
from ser_engine.training.config import TextEmotionTraining, read_config
from ser_engine.training.fit_text_emotion import Tokens, fit, positive_weights
from ser_engine.training.runner import run
from tests.ser_engine.models.tiny_encoders import write_text

# Words of the tiny encoder that stand for an emotion here; 4 is neutral, as in goemotions_ekman_*.tsv.
MEANINGS = {"dogs": 3, "kids": 5, "door": 0, "clock": 2, "word": 1, "eleven": 6, "talking": 4}
FILLERS = ("are", "by", "the", "it", "is", "what", "this", "about", ".")
TOML = """
id = "tiny"
architecture = "text-emotion"
corpora = ["goemotions"]
encoder = "bert"
epochs = 3
batch = 8
learning_rate = 1e-2
head_learning_rate = 5e-2
warmup = 4
dropout = 0.0
"""


def lines(count: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        word = str(rng.choice(list(MEANINGS)))
        said = [word, *rng.choice(FILLERS, size=rng.integers(1, 7)).tolist()]
        rng.shuffle(said)
        found.append(f"{' '.join(said)}\t{MEANINGS[word]}\tid{number}\n")
    return "".join(found)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A tiny encoder and a made-up GoEmotions."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("words")
    write_text(root / "models" / "encoders" / "bert")
    (root / "data" / "goemotions").mkdir(parents=True)
    for seed, (part, count) in enumerate((("train", 160), ("dev", 60), ("test", 60))):
        (root / "data" / "goemotions" / f"goemotions_ekman_{part}.tsv").write_text(lines(count, seed))
    return replace(Settings(), models_dir=root / "models", cache=root / "cache", data=root / "data")


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., tuple[Path, TextEmotionTraining]]:
    def write(more: str = "") -> tuple[Path, TextEmotionTraining]:
        path = tmp_path / "words.toml"
        path.write_text(TOML + more)
        found = read_config(path)
        assert isinstance(found, TextEmotionTraining)
        return path, found

    return write


def parts(here: Settings, config: TextEmotionTraining) -> tuple[TextEmotionNetwork, Tokens, Tokens]:
    network = TextEmotionNetwork.from_encoder("bert", len(LABELS), here, config.dropout, config.seed)
    tokenizer = SpeechTextProcessor.from_encoders(None, "bert", here).tokenizer
    assert tokenizer is not None
    folder = here.data / "goemotions"
    train, dev = (Tokens.of(goemotions.read(folder, part), tokenizer, config.max_tokens) for part in ("train", "dev"))
    return network, train, dev


def history(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "history.jsonl").read_text().splitlines()]


# --- The epochs


def test_it_learns_and_keeps_the_best_epoch(here: Settings, config: Callable, tmp_path: Path) -> None:
    _, chosen = config("seed = 1")
    network, train, dev = parts(here, chosen)
    fit(network, train, dev, chosen, tmp_path)
    told = history(tmp_path)
    assert [line["epoch"] for line in told] == [1, 2, 3] and told[-1]["loss"] < told[0]["loss"]
    best = max(line["validation_macro_f1"] for line in told)
    assert best > 60  # guessing has under 30
    assert fit_text_emotion._measure(network, dev)["validation_macro_f1"] == pytest.approx(best, abs=1e-3)
    assert not network.training


def test_stopped_after_an_epoch_it_comes_to_the_same(
    here: Settings, config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, chosen = config("label_smoothing = 0.1\nbalance = 0.5")
    chosen = replace(chosen, dropout=0.3, epochs=2, batch=32)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    straight.mkdir()
    stopped.mkdir()
    network, train, dev = parts(here, chosen)
    expected = fit(network, train, dev, chosen, straight).state_dict()

    def stop(*_: object) -> dict[str, float]:
        raise KeyboardInterrupt

    class Measured:
        """Ends the run while it measures its second epoch."""

        calls = 0
        real = staticmethod(fit_text_emotion._measure)

        def __call__(self, *given: Any) -> dict[str, float]:
            self.calls += 1
            return stop() if self.calls == 2 else self.real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(fit_text_emotion, "_measure", Measured())
        with pytest.raises(KeyboardInterrupt):
            fit(parts(here, chosen)[0], train, dev, chosen, stopped)
    assert len(history(stopped)) == 1
    torch.manual_seed(99)  # whatever happened in between
    found = fit(parts(here, chosen)[0], train, dev, chosen, stopped).state_dict()
    assert history(stopped) == history(straight)
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert not list(stopped.glob("*.part"))


def test_frozen_word_vectors_stay_and_the_rest_moves(here: Settings, config: Callable, tmp_path: Path) -> None:
    _, chosen = config("freeze_embeddings = true")
    network, train, dev = parts(here, replace(chosen, epochs=1))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fit(network, train, dev, replace(chosen, epochs=1), tmp_path)
    words = "encoder.embeddings.word_embeddings.weight"
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert words not in moved and "encoder.embeddings.LayerNorm.weight" in moved and "classifier.weight" in moved


def test_lower_layers_learn_more_slowly_and_norms_are_not_pulled_to_zero(here: Settings, config: Callable) -> None:
    _, chosen = config("layer_decay = 0.5")
    network, *_ = parts(here, chosen)
    rates = {id(p): g for g in fit_text_emotion._groups(network, chosen) for p in g["params"]}
    named = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert named["classifier.weight"]["lr"] == 5e-2
    assert named["encoder.encoder.layer.1.output.dense.weight"]["lr"] == pytest.approx(1e-2)
    assert named["encoder.encoder.layer.0.output.dense.weight"]["lr"] == pytest.approx(5e-3)
    assert named["encoder.embeddings.word_embeddings.weight"]["lr"] == pytest.approx(2.5e-3)
    assert named["encoder.encoder.layer.1.output.dense.bias"]["weight_decay"] == 0
    assert named["encoder.encoder.layer.1.output.dense.weight"]["weight_decay"] == 0.01


def test_a_rare_label_weighs_more() -> None:
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert positive_weights(labels, 1.0).tolist() == pytest.approx([1 / 3, 3])
    assert positive_weights(labels, 0.0).tolist() == [1, 1]


def test_a_batch_is_as_long_as_its_longest_sentence(here: Settings) -> None:
    tokenizer = SpeechTextProcessor.from_encoders(None, "bert", here).tokenizer
    assert tokenizer is not None
    said = ("dogs", "kids are talking by the door", "it is " * 30)
    tokens = Tokens.of(Sentences(said, np.eye(3, 7, dtype=bool)), tokenizer, 12)
    ids, mask = tokens.batch([0, 1], 0)
    assert ids.shape == mask.shape == (2, 8) and mask.sum(dim=1).tolist() == [3, 8] and (ids[0, 3:] == 0).all()
    assert len(tokens.rows[2]) == 12


# --- The run


def test_a_run_leaves_a_model_and_what_was_measured_of_it(
    here: Settings, config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = config("false_votes = 0.1")
    entry = run(path, here.data, here, tmp_path / "results")
    folder = tmp_path / "results" / "words"
    assert json.loads((folder / "run.json").read_text()) == json.loads(json.dumps(entry)) and len(history(folder)) == 3
    assert entry["modality"] == "text" and entry["sentences"] == {"train": 160, "dev": 60, "test": 60}
    low, high = entry["metrics"]["macro_f1_ci95"]
    assert low <= entry["metrics"]["macro_f1"] <= high and entry["metrics"]["macro_f1"] > 60
    assert (
        set(entry["per_class"]) == set(LABELS) and abs(entry["float32"]["macro_f1"] - entry["metrics"]["macro_f1"]) < 15
    )
    assert set(entry["acted"]) == {"ravdess", "cremad", "tess", "emodb"}
    assert all(0 <= row["abstains"] <= 100 for row in entry["acted"].values())

    model = TextEmotion.load(here.models_dir / "tiny", here)
    test = goemotions.read(here.data / "goemotions", "test")
    predicted = model.probabilities(test.texts) >= model.thresholds
    assert (predicted == test.labels).mean() > 0.8
    assert model.card["measured"]["macro_f1"] == entry["metrics"]["macro_f1"]
    voting = [prediction.emotional > 0 for prediction in model.predict(test.texts)]
    neutral = test.labels[:, LABELS.index("neutral")]
    assert entry["votes"]["neutral"] == round(100 * float(np.mean(np.array(voting)[neutral])), 2)
    card = (here.models_dir / "tiny" / "README.md").read_text()
    assert str(entry["metrics"]["macro_f1"]) in card and "configs/words.toml" in card and "RAVDESS" in card

    # Which words have a vote is decided after training: another share of false votes costs none.
    (state,) = (here.cache / "runs").glob("words-*")
    assert (state / "finished").exists() and not list(state.glob("*.part"))
    monkeypatch.setattr(fit_text_emotion, "_epoch", lambda *_: pytest.fail("it was trained again"))
    stricter = run(config("false_votes = 0.0")[0], here.data, here, tmp_path / "results")
    assert stricter["metrics"] == entry["metrics"] and stricter["votes"]["neutral"] <= entry["votes"]["neutral"]
    assert len(history(folder)) == 3
    assert str(here.models_dir) not in (here.models_dir / "tiny" / CONFIG).read_text()


def test_another_corpus_or_none_is_told(here: Settings, config: Callable, tmp_path: Path) -> None:
    path, _ = config()
    with pytest.raises(CorpusError, match="GoEmotions was looked for"):
        run(path, tmp_path, here, tmp_path / "results")
    path.write_text(TOML.replace("goemotions", "ravdess"))
    with pytest.raises(InvalidSettings, match="corpora is one name"):
        run(path, here.data, here, tmp_path / "results")


def test_what_acted_corpora_say_is_listed(here: Settings) -> None:
    said = acted_sentences(here.data)
    assert "Kids are talking by the door." in said["ravdess"] and len(said["cremad"]) == 12 and len(said["emodb"]) == 10
    assert all(text.startswith("Say the word ") for text in said["tess"])


@pytest.mark.corpora
def test_all_of_tess_is_listed_where_it_is(ser_data: Path) -> None:
    assert len(acted_sentences(ser_data)["tess"]) == 200
