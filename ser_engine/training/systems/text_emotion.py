"""A fine-tuned text encoder that recognizes emotions in sentences, on one or several corpora of them.

All figures but "float32" are those of the model as it is stored, in 8 bits, read back from disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ser_engine.data.acted_sentences import acted_sentences
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.corpora.sentences import LABELS, PARTS, Sentences
from ser_engine.data.corpora.text_registry import TEXT_CORPORA, get_text_corpus
from ser_engine.data.splits import AUTHORS_SPLIT, PROTOCOLS, Fold
from ser_engine.evaluation.metrics import percent
from ser_engine.evaluation.predictions import MAIN, Outputs, Predictions
from ser_engine.evaluation.record import RunRecord
from ser_engine.evaluation.text_card import write_text_card
from ser_engine.evaluation.text_metrics import Marks, macro_f1, margin_thresholds, measure_marks
from ser_engine.evaluation.text_thresholds import choose_thresholds, decide, neutral_only
from ser_engine.labels import NEUTRAL
from ser_engine.models.device import choose_device
from ser_engine.models.encoder_files import find_folder, locate
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import fingerprint
from ser_engine.models.quantization import dequantize, quantize
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import TENSORS, sha256
from ser_engine.models.text_emotion import TextEmotion, TextEmotionNetwork
from ser_engine.training.clips import Clips, Rows
from ser_engine.training.state import RunState
from ser_engine.training.system import Prepared, System, Task, Workspace, digest
from ser_engine.training.systems.classical import log
from ser_engine.training.text_training import TextEmotionTraining, Tokens, train_network

EXAMPLES = 10
"""Of the acted sentences with a margin, this many are recorded for each corpus."""
PRESENT, FLOAT32_PRESENT, MARGINS = "present", "float32.present", "margins"
"""Outputs next to the log-probabilities: which labels are present, by the stored and the unquantized model; margins."""


@dataclass(frozen=True)
class FittedText:
    """The model as it is stored, in 8 bits and read back; the one before quantization; bytes of the stored one."""

    stored: TextEmotion
    float32: TextEmotion
    size: int


class TextEmotionSystem(System[TextEmotionTraining, Sentences, FittedText]):
    """A fine-tuned text encoder; its clips are sentences: of text corpora, and of acted ones, which are only tested.

    A sentence has its labels as `perceived_labels`; the sentences of acted corpora have none. A text corpus without
    neutral sentences has no part in the choice of epoch and thresholds: emotions would seem too frequent.
    """

    config_class = TextEmotionTraining
    calibrated = True

    def __init__(self, config: TextEmotionTraining, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        self.initial_network()  # missing weights are an error before anything is computed

    @property
    def inputs(self) -> str:
        """Text and its encoder."""
        return f"text, by {self.config.encoder.partition('@')[0]}, fine-tuned"

    def initial_network(self) -> tuple[TextEmotionNetwork, SpeechTextProcessor]:
        """Return the network before training, and its tokenizer."""
        config, settings = self.config, self.settings
        network = TextEmotionNetwork.from_encoder(config.encoder, len(LABELS), settings, config.dropout, config.seed)
        found = locate(EncoderReference.parse(config.encoder), settings)
        self.weights[found.reference.id] = {"commit": found.reference.revision, "sha256": fingerprint(found.folder)}
        return network, SpeechTextProcessor.from_encoders(None, config.encoder, settings)

    def clips(self) -> Clips:
        """Return the sentences of all parts, then those of acted corpora; a path is "<part>/<number>"."""
        data = self.settings.data
        utterances = []
        for name, part in product(self.config.corpora, PARTS):
            corpus = get_text_corpus(name)
            sentences = self._draw(corpus.read(corpus.find(name, data), part))
            tag = self.config.tags.get(corpus.id, "")
            for number, (text, marks) in enumerate(zip(sentences.texts, sentences.labels, strict=True)):
                labels = tuple(label for label, present in zip(LABELS, marks, strict=True) if present)
                utterances.append(_utterance(corpus.id, part, number, tag + text, labels))
        for acted, texts in acted_sentences(data).items():
            utterances += [_utterance(acted, "test", number, text) for number, text in enumerate(texts)]
        return Clips(utterances, np.array([utterance.label for utterance in utterances]), LABELS)

    def _draw(self, sentences: Sentences) -> Sentences:
        """Return at most `config.sentences` sentences, drawn with the seed."""
        limit = self.config.sentences
        if not limit or len(sentences) <= limit:
            return sentences
        order = np.random.default_rng(self.config.seed).permutation(len(sentences))
        return sentences.subset(np.sort(order[:limit]))

    def split(self, clips: Clips) -> list[Fold]:
        """Return the parts of all corpora as one fold, whose test part has the acted sentences, too."""
        parts = np.array([path.parent.name for path in clips.paths])
        train, dev, test = (np.flatnonzero(parts == part) for part in PARTS)
        corpora = np.array([utterance.corpus for utterance in clips.utterances])
        with_neutral = np.unique(corpora[_marks(clips.utterances)[:, LABELS.index(NEUTRAL)]])
        return [Fold(AUTHORS_SPLIT, train, dev[np.isin(corpora[dev], with_neutral)], test)]

    def prepare(self, clips: Clips) -> Prepared[Sentences]:
        """Return the texts with their labels."""
        sentences = _sentences(clips.utterances)
        place = find_folder(EncoderReference.parse(self.config.encoder), self.settings)
        encoder = sha256(file) if place and (file := place / TENSORS).is_file() else ""
        identity = digest(torch.__version__, encoder, *sentences.texts, arrays=[sentences.labels])
        return Prepared(clips, sentences, identity)

    def fit(self, prepared: Prepared[Sentences], task: Task) -> FittedText:
        """Fine-tune on the training part, choose epoch and thresholds on the dev part, and store the model."""
        config, sentences = self.config, prepared.features
        network, processor = self.initial_network()
        assert processor.tokenizer is not None
        train, dev = sentences.subset(task.train), sentences.subset(task.validation)
        tokens = [Tokens.of(part, processor.tokenizer, config.max_tokens) for part in (train, dev)]
        train_network(network, tokens[0], tokens[1], config, task, choose_device(self.settings))
        float32 = self._with_thresholds(deepcopy(network), processor, dev)
        network.load_state_dict(dequantize(quantize(network.state_dict())))
        folder = task.state.folder / "model"
        self._with_thresholds(network, processor, dev).save(folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
        return FittedText(TextEmotion.load(folder, self.settings), float32, size)

    def _with_thresholds(
        self, network: TextEmotionNetwork, processor: SpeechTextProcessor, dev: Sentences
    ) -> TextEmotion:
        """Return the model with the thresholds that are best on the dev part."""
        unset = np.full(len(LABELS), 0.5, np.float32)
        probabilities = TextEmotion(self.config.id, LABELS, network, processor, unset, unset).probabilities(dev.texts)
        thresholds = choose_thresholds(dev, probabilities)
        neutral, false_positives = LABELS.index(NEUTRAL), self.config.false_positives
        margins = margin_thresholds(thresholds, probabilities[neutral_only(dev.labels)], neutral, false_positives)
        return TextEmotion(self.config.id, LABELS, network, processor, thresholds, margins)

    def predict(self, fitted: FittedText, prepared: Prepared[Sentences], rows: Rows) -> Outputs:
        """Return log-probabilities, margins, and which labels are present before and after quantization."""
        sentences = prepared.features.subset(rows)
        texts = sentences.texts
        probabilities = fitted.stored.probabilities(texts)
        float32 = fitted.float32.probabilities(texts)
        return {
            MAIN: log(probabilities),
            PRESENT: decide(sentences, probabilities, fitted.stored.thresholds).astype(np.float32),
            FLOAT32_PRESENT: decide(sentences, float32, fitted.float32.thresholds).astype(np.float32),
            MARGINS: np.stack([prediction.margins for prediction in fitted.stored.predict(texts)]),
        }

    def final_task(self, clips: Clips, folds: Sequence[Fold], state: RunState) -> Task:
        """Return the only fold: the saved model is the one that was tested."""
        return Task.of(folds[0], 0, state)

    def size(self, fitted: FittedText) -> int:
        """Return the size in bytes of the stored model."""
        return fitted.size

    def export(self, fitted: FittedText, prepared: Prepared[Sentences], temperature: float) -> TextEmotion:
        """Return the stored model."""
        return fitted.stored

    def describe_data(self, clips: Clips, folds: Sequence[Fold]) -> dict[str, Any]:
        """Return the number of sentences of each part, and of test sentences that are in training, too.

        "sentences" and "repeated" are of GoEmotions, "parts" of all corpora where there are several.
        """
        (fold,) = folds
        parts = {
            corpus.id: {
                part: [clips.utterances[row].transcript for row in rows if clips.utterances[row].corpus == corpus.id]
                for part, rows in zip(PARTS, (fold.train, fold.validation, fold.test), strict=True)
            }
            for corpus in map(get_text_corpus, self.config.corpora)
        }
        counts = {corpus: {part: len(texts) for part, texts in own.items()} for corpus, own in parts.items()}
        first, *others = parts
        training = set(parts[first]["train"])
        return {
            "kind": "text-emotion",
            "split": PROTOCOLS[AUTHORS_SPLIT].title + ("; by hash where there are none" if others else ""),
            "corpora": tuple(parts),
            "details": {
                "sentences": counts[first],
                "repeated": sum(text in training for text in parts[first]["test"]),
            }
            | ({"parts": counts} if others else {}),
        }

    def measure(self, predictions: Predictions) -> dict[str, Any]:
        """Return the figures on the test part of GoEmotions, and how often the model abstains, in percent.

        `metrics` has "<corpus>_F1", too, the macro-F1 of each corpus. `details` has "margins", the share of sentences
        with one among those labeled neutral alone and among those with an emotion and not neutral;
        "neutral_without_emotion", by corpus, the share of sentences labeled neutral alone that are recognized as such;
        "acted", abstentions on the sentences of acted corpora; and the macro-F1 of the unquantized model.
        """
        corpora = [utterance.corpus for utterance in predictions.utterances]
        own = {id: predictions.select(np.array(corpora) == id) for id in dict.fromkeys(corpora)}
        texts = {id: part for id, part in own.items() if id in TEXT_CORPORA}
        test = next(iter(texts.values()))
        true, present = _marks(test.utterances), test.outputs[PRESENT] > 0
        entries = measure_marks(true, present, LABELS)
        informative = test.outputs[MARGINS].max(axis=1) > 0
        groups = {"neutral": neutral_only(true), "emotional": ~true[:, LABELS.index(NEUTRAL)]}
        entries["metrics"] |= {
            f"{id}_F1": round(macro_f1(_marks(part.utterances), part.outputs[PRESENT] > 0), 2)
            for id, part in texts.items()
        }
        entries["details"] |= {
            "margins": {name: percent(informative[rows]) if rows.any() else None for name, rows in groups.items()},
            "neutral_without_emotion": {id: _measure_neutral(part) for id, part in texts.items()},
            "acted": {id: _measure_abstention(part) for id, part in own.items() if id not in TEXT_CORPORA},
            "float32": {"macro_f1": round(macro_f1(true, test.outputs[FLOAT32_PRESENT] > 0), 2)},
        }
        return entries

    def training_files(self, prepared: Prepared[Sentences]) -> list[Path]:
        """Return nothing: no recording is trained on."""
        return []

    def card(self, record: RunRecord) -> dict[str, Any]:
        """Return the corpus and the measured figures."""
        measured = {
            "protocol": record.protocol,
            **record.metrics,
            "macro_f1_ci95": list(record.interval or ()),
            "weighted_f1_ci95": record.details["weighted_f1_ci95"],
            "abstains": {name: figures["abstains"] for name, figures in record.details["acted"].items()},
            "run": record.id,
        }
        return {"corpora": list(record.corpora), "measured": measured}

    def write_card(self, folder: Path, record: RunRecord) -> None:
        """Write the model card."""
        write_text_card(folder, record)


def _utterance(corpus: str, part: str, number: int, text: str, labels: tuple[str, ...] = ()) -> Utterance:
    """Return a sentence as an utterance of nobody."""
    label = labels[0] if labels else NEUTRAL
    return Utterance(corpus, Path(part, str(number)), label, "", transcript=text, perceived_labels=labels)


def _texts(utterances: Sequence[Utterance]) -> tuple[str, ...]:
    return tuple(str(utterance.transcript) for utterance in utterances)


def _sentences(utterances: Sequence[Utterance]) -> Sentences:
    return Sentences(_texts(utterances), _marks(utterances), tuple(utterance.corpus for utterance in utterances))


def _marks(utterances: Sequence[Utterance]) -> Marks:
    """Return which labels the sentences have, bool [n, labels]."""
    return np.array([[label in utterance.perceived_labels for label in LABELS] for utterance in utterances], bool)


def _measure_neutral(test: Predictions) -> float | None:
    """Return the share of sentences labeled neutral alone that get no other label, in percent; None without any."""
    alone = neutral_only(_marks(test.utterances))
    return percent(neutral_only(test.outputs[PRESENT] > 0)[alone]) if alone.any() else None


def _measure_abstention(acted: Predictions) -> dict[str, Any]:
    """Return the number of sentences, the share without a margin, and the sentences that are most emotional."""
    margins, texts = acted.outputs[MARGINS], _texts(acted.utterances)
    emotional = margins.max(axis=1)
    informative = [
        {"text": texts[row], "emotional": round(float(emotional[row]), 3), "top": LABELS[int(margins[row].argmax())]}
        for row in np.argsort(-emotional, kind="stable")
        if emotional[row] > 0
    ]
    return {"sentences": len(texts), "abstains": percent(emotional == 0), "informative": informative[:EXAMPLES]}


SYSTEM = TextEmotionSystem
