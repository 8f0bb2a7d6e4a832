"""One experiment with encoders of speech and text (paper-1, III.D; paper-2; paper-3), from its TOML to results/<run>/.

What is fed depends on what is trained. Frozen encoders are heard once and their pooled states kept on disk, so that
six epochs cost one pass; anything else is trained from samples and tokens. Either way it is transformers' Trainer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray

from ser_engine.data import splits
from ser_engine.data.augment import RECIPES
from ser_engine.data.pooled_states import pooled_speech
from ser_engine.data.preprocess import PREPROCESSINGS, heard_copies, samples_of
from ser_engine.data.transcripts import transcripts
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.calibration import fit_temperature
from ser_engine.evaluation.metrics import unweighted_accuracy, weighted_accuracy
from ser_engine.models.speech_text import (
    SpeechText,
    SpeechTextConfig,
    SpeechTextForSequenceClassification,
    SpeechTextProcessor,
    speech_states,
    text_states,
)
from ser_engine.models.store import TENSORS
from ser_engine.settings import Settings
from ser_engine.training import experiment
from ser_engine.training.config import SpeechTextTraining
from ser_engine.training.experiment import Clips, Rows, fed_with, held_out, read_clips, training_rows
from ser_engine.training.fit_speech_text import Examples, fit

VERSION = "2"
"""To be raised whenever the network or its training changes in its code, so that nothing stale is read."""
PARTS = ("speech", "text")
SCORED = 64
"""Clips that are scored at once."""


@dataclass(frozen=True)
class Experiment:
    """What is trained on: n clips with the files of their samples, the words that Whisper hears, and pooled states.

    `files` has a row a clip: the recording itself, then its augmented copies. Where the encoders are frozen, `speech`
    is float16 [n, copies, layers, width] and `text` float32 [n, width].
    """

    config: SpeechTextTraining
    clips: Clips
    files: list[list[Path]]
    words: list[str]
    settings: Settings
    speech: NDArray[np.float16] | None = None
    text: NDArray[np.float32] | None = None

    @property
    def fingerprint(self) -> str:
        """What tells this experiment from every other, whatever changed."""
        digest = hashlib.sha256(f"{VERSION} {self.config} {self.clips.digest()}".encode())
        for files, words in zip(self.files, self.words, strict=True):
            digest.update(f"{[f'{file.parent.name}/{file.name}' for file in files]} {words}\n".encode())
        for states in (self.speech, self.text):
            digest.update(b"" if states is None else states.tobytes())
        return digest.hexdigest()[:12]

    def examples(self, rows: Rows, copies: Rows | None = None) -> Examples:
        """Return some clips as the Trainer takes them, in their copies, int [m] (0: the recordings themselves)."""
        labels = self.clips.order(self.config)
        copies = np.zeros(len(rows), int) if copies is None else copies
        return Examples(
            np.array([labels.index(label) for label in self.clips.labels[rows]]),
            [self.files[row][copy] for row, copy in zip(rows, copies, strict=True)],
            [self.words[row] for row in rows],
            None if self.speech is None else self.speech[rows, copies],
            None if self.text is None else self.text[rows],
        )

    def train(
        self, train: Rows, validation: Rows, number: int, name: str, state: Path
    ) -> tuple[SpeechTextForSequenceClassification, SpeechTextProcessor]:
        """Return the network trained on some clips; with patience, others say when to stop."""
        config = self.config
        if config.patience and not len(validation):
            train, validation = held_out(config, self.clips, train, number)
        rows, copies = training_rows(config, self.clips.labels, train, len(self.files[0]), number)
        network, processor = make(config, self.clips.order(config), self.settings)
        watched = self.examples(validation) if len(validation) else None
        learned = self.examples(rows, copies)
        if learned.pooled and network.config.standardised:
            network.standardise(*states_of(network, processor, learned))
        fit(network, processor, learned, watched, config, number, name, state)
        return network, processor

    def test(self, fold: splits.Fold, number: int, state: Path) -> NDArray[np.float32]:
        """Return probabilities [m, labels] for the fold's test clips, by a network trained on its training clips.

        What each part alone would have said is kept beside: fold-N-speech.npy and fold-N-text.npy.
        """
        network, processor = self.train(fold.train, fold.validation, number, fold.name, state)
        if number == 0 and PartialState().is_main_process:
            network.save_pretrained(state / "model")
            (state / "size").write_text(str((state / "model" / TENSORS).stat().st_size))
        tested = self.examples(fold.test)
        speech, text = states_of(network, processor, tested)
        if speech is not None and text is not None:
            np.save(state / f"fold-{number}-speech.npy", probabilities(network, speech, None))
            np.save(state / f"fold-{number}-text.npy", probabilities(network, None, text))
        return probabilities(network, speech, text)


def run_speech_text(
    path: Path, config: SpeechTextTraining, data: Path, settings: Settings, results: Path
) -> dict[str, Any]:
    """Train and measure what the TOML at `path` describes, on the corpora in `data`.

    Writes results/<name of the TOML>/{run.json, folds.json, history.jsonl}. Returns run.json, whose `parts` say what
    sound alone and words alone reach in a network that has both.

    Raises
    ------
    CorpusError
        A corpus is not in `data`, or is none that the protocol can split.
    InvalidSettings
        The configuration makes no sense.
    WeightsUnavailable
        An encoder is not there.
    """
    check(config, path)
    make(config, ("any", "other"), settings)  # what is not here is told before anything is heard
    with PartialState().main_process_first():  # several processes share one cache
        prepared = prepare(config, data, settings)
    clips, name = prepared.clips, path.stem
    folds, opinions, state = experiment.cross_validate(
        name, config, clips, prepared.fingerprint, prepared.test, settings
    )
    heard_by = fed_with(" and ".join(filter(None, (config.speech, config.text))), config.augmentation)
    further = {"parts": parts} if (parts := _parts(clips, config, folds, state)) else {}
    with PartialState().main_process_first():
        entry = experiment.write_run(name, config, heard_by, clips, folds, opinions, state, results, **further)
    if config.save:
        everything = np.arange(len(clips.labels))
        network, processor = prepared.train(everything, everything[:0], len(folds), "all", state)
        true = prepared.examples(np.concatenate([fold.test for fold in folds])).labels
        log_probabilities = np.log(np.maximum(np.concatenate(opinions), 1e-9)).astype(np.float32)
        network.config.score_temperature = fit_temperature(log_probabilities, true)
        card = {"corpora": entry["corpora"], "run": entry["id"]}
        if PartialState().is_main_process:
            SpeechText(config.id, network, processor, card).save(settings.models_dir / config.id)
    return entry


def check(config: SpeechTextTraining, path: Path) -> None:
    """Refuse in one sentence what names something that is not there, or does not go together."""
    augmentation = (config.augmentation, ("", *RECIPES))
    experiment.check(config, path, preprocessing=(config.preprocessing, PREPROCESSINGS), augmentation=augmentation)
    if not config.speech and not config.text:
        raise InvalidSettings(f"{path} names neither an encoder of speech nor one of text.")
    if splits.PROTOCOLS[config.protocol].leaky:
        raise InvalidSettings(f"{path}: {config.protocol} is for classical systems.")
    try:
        made = SpeechTextConfig().override(config.network)
        if made.standardised and (made.freezing != "head" or made.lora is not None):
            raise InvalidSettings("standardised states are for frozen encoders.")
    except InvalidSettings as error:
        raise InvalidSettings(f"{path}: {error}") from None


def make(
    config: SpeechTextTraining, labels: Sequence[str], settings: Settings
) -> tuple[SpeechTextForSequenceClassification, SpeechTextProcessor]:
    """Return the network before training, the same for every fold, and its processor."""
    speech, text = config.speech or None, config.text or None
    network = SpeechTextForSequenceClassification.from_encoders(
        labels, speech, text, settings, config.seed, config.speech_overrides, **config.network
    )
    return network, SpeechTextProcessor.from_encoders(speech, text, settings)


def prepare(config: SpeechTextTraining, data: Path, settings: Settings) -> Experiment:
    """Read the corpora, hear and transcribe every clip that has one of the labels, and pool what is frozen."""
    clips = read_clips(config, data)
    paths = [utterance.path for utterance in clips.utterances]
    files = heard_copies(paths, settings, config.preprocessing, config.augmentation, config.seed)
    kept = [i for i, row in enumerate(files) if len(np.load(row[0], mmap_mode="r"))]
    if not kept:
        raise CorpusError(f"No clip of {', '.join(config.corpora)} could be used.")
    clips, files = clips.only(kept), [files[i] for i in kept]
    words = [""] * len(files)
    if config.text:
        words = transcripts([utterance.path for utterance in clips.utterances], settings)
    network, processor = make(config, clips.order(config), settings)
    prepared = Experiment(config, clips, files, words, settings)
    if network.config.freezing != "head" or network.config.lora is not None:
        return prepared
    speech = None
    if config.speech:
        speech = pooled_speech(network, processor, [file for row in files for file in row], settings)
        speech = speech.reshape(len(files), -1, *speech.shape[1:])
    return Experiment(config, clips, files, words, settings, speech, _pooled_text(network, processor, words))


def _pooled_text(
    network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor, words: Sequence[str]
) -> NDArray[np.float32] | None:
    """Return pooled states of text float32 [n, width]; the same words are read once."""
    distinct = sorted(set(words))
    states = text_states(network, processor, distinct)
    if states is None:
        return None
    place = {said: row for row, said in enumerate(distinct)}
    return states.numpy()[[place[said] for said in words]]


def states_of(
    network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor, examples: Examples
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return pooled states of speech [n, layers, width] and of text [n, width], those kept or computed now."""
    if examples.pooled:
        speech = None if examples.speech is None else torch.from_numpy(examples.speech.astype(np.float32))
        return speech, None if examples.text is None else torch.from_numpy(examples.text)
    parts = []
    for first in range(0, len(examples.files), SCORED):
        clips = [samples_of(file) for file in examples.files[first : first + SCORED]]
        if (part := speech_states(network, processor, clips)) is not None:
            parts.append(part)
    return torch.cat(parts) if parts else None, text_states(network, processor, examples.words)


def probabilities(
    network: SpeechTextForSequenceClassification, speech: torch.Tensor | None, text: torch.Tensor | None
) -> NDArray[np.float32]:
    """Return float32 [n, labels] for pooled states; what is None counts as left out."""
    network.eval()
    device = network.device
    with torch.inference_mode():
        states = [None if part is None else part.to(device) for part in (speech, text)]
        return network.classify(*states).float().softmax(dim=1).cpu().numpy()


def _parts(
    clips: Clips, config: SpeechTextTraining, folds: Sequence[splits.Fold], state: Path
) -> dict[str, dict[str, float]]:
    """Return UA and WA, in per cent, of each part by itself, where the network has both."""
    labels = clips.order(config)
    found = {}
    for part in PARTS:
        files = [state / f"fold-{number}-{part}.npy" for number in range(len(folds))]
        if not all(file.exists() for file in files):
            return {}
        predicted = np.concatenate([np.load(file).argmax(axis=1) for file in files])
        true = np.array([labels.index(clips.labels[row]) for fold in folds for row in fold.test])
        found[part] = {
            "UA": round(unweighted_accuracy(true, predicted), 2),
            "WA": round(weighted_accuracy(true, predicted), 2),
        }
    return found
