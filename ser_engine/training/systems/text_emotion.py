"""A reader of emotion in words, from its TOML to results/<run>/ and models/<id>/; stopped, it goes on at its epoch."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser_engine.data.acted_sentences import acted_sentences
from ser_engine.data.corpora import goemotions
from ser_engine.data.corpora.goemotions import LABELS, PARTS, Part, Sentences
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.evaluate import write_json
from ser_engine.evaluation.metrics import percent
from ser_engine.evaluation.text_card import write_text_card
from ser_engine.evaluation.text_metrics import best_thresholds, macro_f1, present, report, vote_thresholds
from ser_engine.labels import NEUTRAL
from ser_engine.models.encoders import EncoderReference, find_folder
from ser_engine.models.quantization import dequantize, quantize
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.store import TENSORS, sha256
from ser_engine.models.text_emotion import TextEmotion, TextEmotionNetwork
from ser_engine.settings import Settings
from ser_engine.training.config import TextEmotionTraining
from ser_engine.training.fit_text_emotion import Tokens, fit

VERSION = "1"
"""To be raised whenever training changes in its code, so that nothing stale is gone on with."""
EXAMPLES = 10
"""Of the acted sentences that do not abstain, so many are named."""

Corpus = dict[Part, Sentences]


def run_text_emotion(
    path: Path, config: TextEmotionTraining, data: Path, settings: Settings, results: Path
) -> dict[str, Any]:
    """Train and measure what the TOML at `path` describes, on GoEmotions in `data`.

    Writes results/<name of the TOML>/{run.json, history.jsonl} and models/<id>/. All figures but "float32" are of the
    model as it is stored, in 8 bits, read back from its folder. Returns run.json.

    Raises
    ------
    CorpusError
        GoEmotions is not in `data`, or a line of it cannot be read.
    InvalidSettings
        The TOML names other corpora.
    WeightsUnavailable
        The encoder to begin with is not there.
    """
    if len(config.corpora) != 1 or Path(config.corpora[0]).name.lower() not in ("text", goemotions.ID):
        raise InvalidSettings(f"{path}: corpora is one name, “{goemotions.ID}”, or the path of a folder named so.")
    begun = time.perf_counter()
    folder = goemotions.find(config.corpora[0], data)
    corpus = {part: _some(goemotions.read(folder, part), config) for part in PARTS}
    processor = SpeechTextProcessor.from_encoders(None, config.encoder, settings)
    network = TextEmotionNetwork.from_encoder(config.encoder, len(LABELS), settings, config.dropout, config.seed)
    state = settings.cache / "runs" / f"{path.stem}-{_fingerprint(config, corpus, settings)}"
    state.mkdir(parents=True, exist_ok=True)
    assert processor.tokenizer is not None
    train, dev = (Tokens.of(corpus[part], processor.tokenizer, config.max_tokens) for part in ("train", "dev"))
    fit(network, train, dev, config, state)

    whole = _with_thresholds(network, processor, corpus["dev"], config)
    network.load_state_dict(dequantize(quantize(network.state_dict())))
    stored = _with_thresholds(network, processor, corpus["dev"], config)
    target = settings.models_dir / config.id
    unquantised = round(macro_f1(*_found(whole, corpus["test"])), 2)
    stored.save(target)
    model = TextEmotion.load(target, settings)
    measured = measure(model, corpus, data) | {"float32": {"macro_f1": unquantised}}
    entry = {
        "id": path.stem,
        "model": config.id,
        "modality": "text",
        "features": f"words, by {config.encoder} fine-tuned",
        "protocol": config.protocol,
        "corpora": [goemotions.ID],
        "labels": list(LABELS),
        "sentences": {part: len(corpus[part]) for part in PARTS},
        **measured,
        "size_mb": round(sum(file.stat().st_size for file in target.iterdir()) / 1e6, 2),
        "seconds": round(time.perf_counter() - begun, 1),
        "note": config.note,
        "seed": config.seed,
        "config": asdict(config),
    }
    model.card = {"corpora": [goemotions.ID], "measured": _for_card(entry)}
    model.save(target)
    write_text_card(target, entry)
    write_json(results / path.stem / "run.json", entry)
    (results / path.stem / "history.jsonl").write_bytes((state / "history.jsonl").read_bytes())
    (state / "finished").touch()  # the results page shows a run's epochs until then
    return entry


def measure(model: TextEmotion, corpus: Corpus, data: Path) -> dict[str, Any]:
    """Return what run.json says of a model's answers.

    Returns
    -------
    dict
        "metrics" and "per_class" on the test part (see `text_metrics.report`); "votes", the share of its sentences, in
        per cent, that have a vote, of those that are neutral alone and of those with an emotion; "acted", for each
        corpus the share of its sentences that abstain, with those that do not; "repeated", how many test sentences
        stand in the training part, too.
    """
    test = corpus["test"]
    found = report(*_found(model, test), LABELS)
    emotional = np.array([opinion.emotional > 0 for opinion in model.predict(test.texts)])
    neutral = _neutral_only(test)
    told = {"neutral": emotional[neutral], "emotional": emotional[~test.labels[:, LABELS.index(NEUTRAL)]]}
    training = set(corpus["train"].texts)
    return {
        **found,
        "votes": {kind: percent(votes) if len(votes) else None for kind, votes in told.items()},
        "acted": {name: abstentions(model, sentences) for name, sentences in acted_sentences(data).items()},
        "repeated": sum(text in training for text in test.texts),
    }


def abstentions(model: TextEmotion, sentences: tuple[str, ...]) -> dict[str, Any]:
    """Return on which share of some sentences, in per cent, a model abstains, and where it does not."""
    found = sorted(zip(sentences, model.predict(sentences), strict=True), key=lambda pair: -pair[1].emotional)
    speaking = [
        {"text": text, "emotional": round(opinion.emotional, 3), "top": max(shares, key=shares.__getitem__)}
        for text, opinion in found
        if (shares := opinion.shares())
    ]
    share = 100 * (1 - len(speaking) / len(sentences))
    return {"sentences": len(sentences), "abstains": round(share, 2), "speaking": speaking[:EXAMPLES]}


def _some(sentences: Sentences, config: TextEmotionTraining) -> Sentences:
    """Return at most `config.sentences` of them, drawn with the seed."""
    if not config.sentences or len(sentences) <= config.sentences:
        return sentences
    order = np.random.default_rng(config.seed).permutation(len(sentences))
    return sentences.only(np.sort(order[: config.sentences]))


def _with_thresholds(
    network: TextEmotionNetwork, processor: SpeechTextProcessor, dev: Sentences, config: TextEmotionTraining
) -> TextEmotion:
    """Return the model whose thresholds suit the dev part."""
    open_ = np.full(len(LABELS), 0.5, np.float32)
    model = TextEmotion(config.id, LABELS, network, processor, open_, open_)
    probabilities = model.probabilities(dev.texts)
    thresholds = best_thresholds(dev.labels, probabilities)
    neutral = LABELS.index(NEUTRAL)
    votes = vote_thresholds(thresholds, probabilities[_neutral_only(dev)], neutral, config.false_votes)
    return TextEmotion(config.id, LABELS, network, processor, thresholds, votes)


def _found(model: TextEmotion, test: Sentences) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which labels the sentences have, and which the model says that they have, bool [n, labels]."""
    return test.labels, present(model.probabilities(test.texts), model.thresholds)


def _neutral_only(sentences: Sentences) -> NDArray[np.bool_]:
    neutral = LABELS.index(NEUTRAL)
    return sentences.labels[:, neutral] & (sentences.labels.sum(axis=1) == 1)


def _for_card(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that stand in config.json."""
    abstains = {name: figures["abstains"] for name, figures in entry["acted"].items()}
    return {"protocol": entry["protocol"], **entry["metrics"], "abstains": abstains, "run": entry["id"]}


def _fingerprint(config: TextEmotionTraining, corpus: Corpus, settings: Settings) -> str:
    """Return what tells this training from every other, whatever changed; 12 hexadecimal digits.

    How votes are counted is decided after training, so that it may change without a new one.
    """
    lasting = {key: value for key, value in asdict(config).items() if key not in ("false_votes", "note", "hardware")}
    place = find_folder(EncoderReference.parse(config.encoder), settings)
    encoder = sha256(file) if place and (file := place / TENSORS).is_file() else ""
    digest = hashlib.sha256(f"{VERSION} {torch.__version__} {lasting} {encoder}".encode())
    for sentences in corpus.values():
        digest.update("\0".join(sentences.texts).encode() + sentences.labels.tobytes())
    return digest.hexdigest()[:12]
