"""A text encoder trained on a few generated sentences: it learns, resumes after a stop, and is measured as stored."""

from __future__ import annotations

import json
import shutil
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
from ser_engine.data.corpora.sentences import LABELS, Sentences
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.record import read_record
from ser_engine.evaluation.text_metrics import macro_f1, present_labels
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import CONFIG
from ser_engine.models.text_emotion import TextEmotion, TextEmotionNetwork
from ser_engine.training import text_training
from ser_engine.training.config import load_config
from ser_engine.training.runner import run_experiment
from ser_engine.training.state import RunState
from ser_engine.training.system import Task, Workspace
from ser_engine.training.systems.text_emotion import TextEmotionSystem
from ser_engine.training.text_training import (
    TextEmotionTraining,
    Tokens,
    mix_rows,
    parameter_groups,
    positive_weights,
    train_network,
    validate,
)
from tests.ser_engine.models.tiny_encoders import write_text

# Words of the tiny encoder that stand for an emotion here; 4 is neutral, as in goemotions_ekman_*.tsv.
MEANINGS = {"dogs": 3, "kids": 5, "door": 0, "clock": 2, "word": 1, "eleven": 6, "talking": 4}
XED = {"3": "5", "5": "6", "0": "1", "2": "4", "1": "3", "6": "7"}
DAILYDIALOG = {"3": "4", "5": "5", "0": "1", "2": "3", "1": "2", "6": "6", "4": "0"}
FILLERS = ("are", "by", "the", "it", "is", "what", "this", "about", ".")
ID = "test/words/authors-split"
TOML = """
id = "tiny"
system = "text-emotion"
protocols = ["authors-split"]
corpora = ["goemotions"]
encoder = "bert"
epochs = 3
batch = 8
learning_rate = 1e-2
head_learning_rate = 5e-2
warmup = 4
dropout = 0.0
"""
NO_ROWS = np.zeros(0, int)


pytestmark = pytest.mark.usefixtures("one_thread")


def lines(count: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        word = str(rng.choice(list(MEANINGS)))
        words = [word, *rng.choice(FILLERS, size=rng.integers(1, 7)).tolist()]
        rng.shuffle(words)
        rows.append(f"{' '.join(words)}\t{MEANINGS[word]}\tid{number}\n")
    return "".join(rows)


def fields(line: str) -> tuple[str, str]:
    text, code, _ = line.split("\t")
    return text, code


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A tiny encoder and a made-up GoEmotions."""
    root = tmp_path_factory.mktemp("words")
    write_text(root / "models" / "encoders" / "bert")
    (root / "data" / "goemotions").mkdir(parents=True)
    for seed, (part, count) in enumerate((("train", 160), ("dev", 60), ("test", 60))):
        (root / "data" / "goemotions" / f"goemotions_ekman_{part}.tsv").write_text(lines(count, seed))
    return replace(Settings(), models_dir=root / "models", cache=root / "cache", data=root / "data")


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., tuple[Path, TextEmotionTraining]]:
    def write(more: str = "") -> tuple[Path, TextEmotionTraining]:
        path = tmp_path / "configs" / "test" / "words.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TOML + more)
        loaded = load_config(path)
        assert isinstance(loaded, TextEmotionTraining)
        return path, loaded

    return write


def task(folder: Path) -> Task:
    return Task(NO_ROWS, NO_ROWS, "authors-split", 0, RunState(folder))


def parts(here: Settings, config: TextEmotionTraining) -> tuple[TextEmotionNetwork, Tokens, Tokens]:
    network = TextEmotionNetwork.from_encoder("bert", len(LABELS), here, config.dropout, config.seed)
    tokenizer = SpeechTextProcessor.from_encoders(None, "bert", here).tokenizer
    assert tokenizer is not None
    folder = here.data / "goemotions"
    train, dev = (
        Tokens.of(goemotions.read_goemotions(folder, part), tokenizer, config.max_tokens) for part in ("train", "dev")
    )
    return network, train, dev


def history(folder: Path, name: str = "history-0000.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


# --- training


def test_it_learns_and_keeps_the_best_epoch(here: Settings, config: Callable, tmp_path: Path) -> None:
    _, chosen = config("seed = 1")
    network, train, dev = parts(here, chosen)
    train_network(network, train, dev, chosen, task(tmp_path))
    epochs = history(tmp_path)
    assert [line["epoch"] for line in epochs] == [1, 2, 3] and epochs[-1]["loss"] < epochs[0]["loss"]
    best = max(line["validation_macro_f1"] for line in epochs)
    assert best > 60  # guessing has under 30
    assert validate(network, dev)["validation_macro_f1"] == pytest.approx(best, abs=1e-3)
    assert not network.training


def test_stopped_after_an_epoch_it_comes_to_the_same(
    here: Settings, config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, chosen = config("label_smoothing = 0.1\nbalance = 0.5")
    chosen = replace(chosen, dropout=0.3, epochs=2, batch=32, averaging=0.9)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    network, train, dev = parts(here, chosen)
    expected = train_network(network, train, dev, chosen, task(straight)).state_dict()

    def stop(*_: object) -> dict[str, float]:
        raise KeyboardInterrupt

    class Measured:
        """Ends the run while it measures its second epoch."""

        calls = 0
        real = staticmethod(validate)

        def __call__(self, *given: Any) -> dict[str, float]:
            self.calls += 1
            return stop() if self.calls == 2 else self.real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(text_training, "validate", Measured())
        with pytest.raises(KeyboardInterrupt):
            train_network(parts(here, chosen)[0], train, dev, chosen, task(stopped))
    assert len(history(stopped)) == 1
    torch.manual_seed(99)  # whatever happened in between
    resumed = train_network(parts(here, chosen)[0], train, dev, chosen, task(stopped)).state_dict()
    assert history(stopped) == history(straight)
    for name, tensor in expected.items():
        assert torch.equal(tensor, resumed[name]), name
    assert not list(stopped.glob("*.part"))


def test_frozen_word_vectors_stay_and_the_rest_moves(here: Settings, config: Callable, tmp_path: Path) -> None:
    _, chosen = config("freeze_embeddings = true")
    network, train, dev = parts(here, replace(chosen, epochs=1))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train_network(network, train, dev, replace(chosen, epochs=1), task(tmp_path))
    words = "encoder.embeddings.word_embeddings.weight"
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert words not in moved and "encoder.embeddings.LayerNorm.weight" in moved and "classifier.weight" in moved


def test_lower_layers_learn_more_slowly_and_norms_are_not_pulled_to_zero(here: Settings, config: Callable) -> None:
    _, chosen = config("layer_decay = 0.5")
    network, *_ = parts(here, chosen)
    rates = {id(p): g for g in parameter_groups(network, chosen) for p in g["params"]}
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
    texts = ("dogs", "kids are talking by the door", "it is " * 30)
    tokens = Tokens.of(Sentences(texts, np.eye(3, 7, dtype=bool)), tokenizer, 12)
    ids, mask = tokens.batch([0, 1], 0)
    assert ids.shape == mask.shape == (2, 8) and mask.sum(dim=1).tolist() == [3, 8] and (ids[0, 3:] == 0).all()
    assert len(tokens.rows[2]) == 12


def test_small_corpora_are_repeated_as_far_as_the_exponent_says() -> None:
    corpora = ("goemotions",) * 900 + ("xed",) * 100
    sentences = Sentences(("text",) * 1000, np.ones((1000, 7), bool), corpora)
    assert mix_rows(sentences, 1.0, 0, seed=0, epoch=0).tolist() == list(range(1000))
    for exponent, total, small in ((1.0, 500, 50), (0.5, 0, 250), (0.5, 400, 100), (0.0, 0, 500)):
        epochs = [mix_rows(sentences, exponent, total, 0, epoch) for epoch in range(3)]
        assert all(len(rows) == (total or 1000) and (rows >= 900).sum() == small for rows in epochs)
        times = np.bincount(np.concatenate(epochs), minlength=1000)
        assert np.ptp(times[:900]) <= 1 and np.ptp(times[900:]) <= 1  # each as often as any other of its corpus


# --- the run


def test_a_run_has_a_record_a_model_and_a_card(here: Settings, config: Callable, tmp_path: Path) -> None:
    path, _ = config("false_positives = 0.1")
    results = tmp_path / "results"
    record = run_experiment(path, "", replace(here, results=results))
    assert read_record(results, ID) == record and len(history(results / ID, "history.jsonl")) == 3
    assert (record.kind, record.corpora, record.labels) == ("text-emotion", ("goemotions",), LABELS)
    assert record.split.startswith("the authors'") and record.size_mb and not record.audit
    details = record.details
    assert details["sentences"] == {"train": 160, "dev": 60, "test": 60} and 0 < details["repeated"] < 60
    assert record.interval is not None
    assert record.interval[0] <= record.metrics["macro_f1"] <= record.interval[1] and record.metrics["macro_f1"] > 60
    assert set(record.per_class) == set(LABELS)
    assert set(details["acted"]) == {"ravdess", "cremad", "tess", "emodb"}
    assert all(0 <= row["abstains"] <= 100 for row in details["acted"].values())

    model = TextEmotion.load(here.models_dir / "tiny", here)
    test = goemotions.read_goemotions(here.data / "goemotions", "test")
    present = present_labels(model.probabilities(test.texts), model.thresholds)
    assert record.metrics["macro_f1"] == round(macro_f1(test.labels, present), 2)  # of the model as it is stored
    assert model.card["measured"]["macro_f1"] == record.metrics["macro_f1"]
    predictions = model.predict(test.texts)
    neutral = test.labels[:, LABELS.index("neutral")]
    informative = np.array([prediction.emotional > 0 for prediction in predictions])[neutral]
    assert details["margins"]["neutral"] == round(100 * float(informative.mean()), 2)
    acted = model.predict(acted_sentences(here.data)["cremad"])
    assert details["acted"]["cremad"]["abstains"] == pytest.approx(
        100 * np.mean([prediction.emotional == 0 for prediction in acted]), abs=0.01
    )
    card = (here.models_dir / "tiny" / "README.md").read_text()
    assert str(record.metrics["macro_f1"]) in card and "configs/test/words.toml" in card and "RAVDESS" in card
    assert str(here.models_dir) not in (here.models_dir / "tiny" / CONFIG).read_text()


def test_several_corpora_are_mixed_and_measured_each_by_itself(
    here: Settings, config: Callable, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(here.data, data)
    subtitles, conversations = lines(400, 10).splitlines(), lines(400, 11).splitlines()
    (data / "text").mkdir()
    files = {
        "xed_en.tsv": [f"{text}\t{XED[code]}" for text, code in map(fields, subtitles) if code in XED],
        "xed_en_neutral.txt": [f"9\t{text}" for text, code in map(fields, subtitles) if code == "4"],
        "dailydialog_1k_text.txt": [fields(line)[0] for line in conversations],
        "dailydialog_1k_emotion.txt": [DAILYDIALOG[fields(line)[1]] for line in conversations],
        "isear.tsv": [f"joy\tdogs {number}" for number in range(40)],
    }
    for name, rows in files.items():
        (data / "text" / name).write_text("\n".join(rows))
    path, _ = config("mixing = 0.5\nepoch_sentences = 320\nfalse_positives = 0.1")
    text = path.read_text().replace('["goemotions"]', '["goemotions", "xed", "dailydialog", "isear"]')
    path.write_text(f'{text}\n[tags]\nisear = "clock: "')
    record = run_experiment(path, "", replace(here, data=data, results=tmp_path / "results"))
    corpora = ("goemotions", "xed", "dailydialog", "isear")
    assert record.corpora == corpora and "by hash" in record.split
    assert all(record.metrics[f"{corpus}_F1"] > 50 for corpus in corpora)
    assert record.metrics["goemotions_F1"] == record.metrics["macro_f1"]
    parts, shares = record.details["parts"], record.details["neutral_without_emotion"]
    assert parts["isear"]["dev"] == 0 < parts["isear"]["test"]  # without neutral it chooses no threshold
    assert shares["isear"] is None and shares["dailydialog"] > 50
    card = (here.models_dir / "tiny" / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card and "| XED | " in card and "DailyDialog and ISEAR allow no" in card
    assert "“clock:” before each sentence of ISEAR;" in card


def test_the_float32_figure_is_of_the_model_before_quantization(
    here: Settings, config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ser_engine.training.systems import text_emotion

    def ruined(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: torch.zeros_like(tensor) if "layer.1." in name else tensor for name, tensor in state.items()}

    monkeypatch.setattr(text_emotion, "quantize", ruined)
    monkeypatch.setattr(text_emotion, "dequantize", lambda state: state)
    record = run_experiment(config("seed = 2")[0], "", replace(here, results=tmp_path / "results"))
    assert record.details["float32"]["macro_f1"] > record.metrics["macro_f1"] + 10


def test_a_tag_distinguishes_manners_of_writing(here: Settings, config: Callable, tmp_path: Path) -> None:
    path, _ = config('[tags]\ngoemotions = "door: "')
    system = TextEmotionSystem(load_config(path), Workspace(ID, here, path.parent.parent))
    utterances = system.clips().utterances
    tagged = [utterance.corpus == "goemotions" for utterance in utterances]
    assert [str(utterance.transcript).startswith("door: ") for utterance in utterances] == tagged and not all(tagged)


def test_a_finished_training_is_not_repeated(
    here: Settings, config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = config("seed = 3")
    first = run_experiment(path, "", replace(here, results=tmp_path / "results"))
    for outputs in here.cache.glob(f"runs/{ID}/*/outputs-0.npz"):
        outputs.unlink()
    monkeypatch.setattr(text_training, "_train_epoch", lambda *_: pytest.fail("it was trained again"))
    again = run_experiment(path, "", replace(here, results=tmp_path / "results"))
    assert again.metrics == first.metrics and len(history(tmp_path / "results" / ID, "history.jsonl")) == 3
    assert not list(here.cache.rglob("*.part"))


def test_other_corpora_and_protocols_are_refused(here: Settings, config: Callable, tmp_path: Path) -> None:
    path, _ = config()
    with pytest.raises(CorpusError, match="GoEmotions was looked for"):
        run_experiment(path, "", replace(here, data=tmp_path, results=tmp_path / "results"))
    for old, new, sentence in (
        ('"goemotions"', '"ravdess"', "There is no corpus of sentences “ravdess”"),
        ('"goemotions"', '"xed"', "corpora begins with goemotions"),
        ('"goemotions"', '"goemotions", "text"', "each is named once"),
        ("authors-split", "speaker-independent", "the protocol is authors-split"),
    ):
        path.write_text(TOML.replace(old, new))
        with pytest.raises(InvalidSettings, match=sentence):
            run_experiment(path, "", replace(here, results=tmp_path / "results"))


def test_acted_sentences(here: Settings) -> None:
    texts = acted_sentences(here.data)
    assert "Kids are talking by the door." in texts["ravdess"]
    assert (len(texts["cremad"]), len(texts["emodb"])) == (12, 10)
    assert all(text.startswith("Say the word ") for text in texts["tess"])


@pytest.mark.corpora
def test_all_of_tess_is_listed_where_it_is(ser_data: Path) -> None:
    assert len(acted_sentences(ser_data)["tess"]) == 200
