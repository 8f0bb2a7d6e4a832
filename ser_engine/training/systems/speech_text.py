"""Encoders of speech and text (Sharma, III.D; Jafarzadeh; Islam), frozen or fine-tuned.

Frozen encoders run once, and their pooled states are cached, so that an epoch costs only the head; anything else is
trained from samples and tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray

from ser_engine.data.augment import RECIPES
from ser_engine.data.pooled_states import pool_speech_states
from ser_engine.data.preprocess import load_samples, preprocess_and_augment_clips
from ser_engine.data.splits import Fold
from ser_engine.data.transcripts import transcribe_clips
from ser_engine.evaluation.predictions import COMPONENT, MAIN, Outputs
from ser_engine.models.device import choose_device
from ser_engine.models.encoders import BUNDLED, encoder_from_config
from ser_engine.models.known_encoders import known_config
from ser_engine.models.speech_text import SpeechText, speech_states, text_states
from ser_engine.models.speech_text_config import SpeechTextConfig
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.settings import Settings
from ser_engine.training.clips import Clips, Rows, hold_out, training_rows, validation_rows
from ser_engine.training.system import Prepared, System, Task, Workspace, digest
from ser_engine.training.systems.classical import describe_inputs, log
from ser_engine.training.transformers_trainer import Examples, SpeechTextTraining, fine_tune
from ser_engine.training.work import Work, clip_seconds, count, network_memory, preparation_seconds
from ser_engine.types import SAMPLE_RATE

TRANSCRIBING = 0.2
"""Seconds that Whisper-base takes for a second of speech on two cores (results/bench.json), for a dry run."""
WORDS = 16
"""Tokens of an acted sentence, for a dry run."""
BATCH = 64
"""Clips whose states are computed at once."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of n clips.

    Attributes
    ----------
    files : for each clip the samples of the recording itself, then of its augmented copies
    texts : the words that Whisper recognizes
    speech, text : pooled states of frozen encoders, float16 [n, copies, layers, width] and float32 [n, width]
    """

    files: list[list[Path]]
    texts: list[str]
    speech: NDArray[np.float16] | None = None
    text: NDArray[np.float32] | None = None

    def examples(self, clips: Clips, rows: Rows, copies: Rows | None = None) -> Examples:
        """Return some clips for the Trainer, in their copies, int [m] (0: the recordings themselves)."""
        copies = np.zeros(len(rows), int) if copies is None else copies
        return Examples(
            clips.targets[rows],
            [self.files[row][copy] for row, copy in zip(rows, copies, strict=True)],
            [self.texts[row] for row in rows],
            None if self.speech is None else self.speech[rows, copies],
            None if self.text is None else self.text[rows],
        )


class SpeechTextSystem(System[SpeechTextTraining, Inputs, SpeechText]):
    """A network on the states of an encoder of speech, of text, or both."""

    config_class = SpeechTextTraining

    def __init__(self, config: SpeechTextTraining, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        self.initial_network(("any", "other"))  # missing weights are an error before hours of preprocessing

    @property
    def inputs(self) -> str:
        """The encoders, and the augmentation if there is one."""
        encoders = " and ".join(id.partition("@")[0] for id in (self.config.speech, self.config.text) if id)
        return describe_inputs(encoders, self.config.augmentation)

    @classmethod
    def work(cls, config: SpeechTextTraining, clips: Clips, folds: Sequence[Fold], settings: Settings) -> Work:
        """Count the operations of a batch: the head's alone where the encoders are frozen, and run once a clip."""
        copies, seconds = (
            1 + len(RECIPES[config.augmentation] if config.augmentation else ()),
            clip_seconds(clips.paths),
        )
        preparing = preparation_seconds(
            len(clips.utterances), seconds, settings, config.preprocessing, config.augmentation
        )
        speech, text = (known_config(name, settings) if name else None for name in (config.speech, config.text))
        if text is not None:
            preparing += TRANSCRIBING * seconds * len(clips.utterances)
        examples = [
            len(training_rows(config, clips.labels, fold.train, copies, number)[0]) for number, fold in enumerate(folds)
        ]
        steps = sum(-(-number // (config.batch * config.accumulation)) for number in examples) * config.epochs

        def make() -> SpeechTextForSequenceClassification:
            shape = network_of(config, speech_config=speech, text_config=text, id2label=dict(enumerate(clips.order)))
            return SpeechTextForSequenceClassification(shape)

        def call(network: SpeechTextForSequenceClassification) -> torch.Tensor:
            samples = None if speech is None else torch.zeros(config.batch, round(seconds * SAMPLE_RATE))
            states, _ = network.encode(samples)
            words = None if text is None else torch.zeros(config.batch, text.hidden_size)  # counted below
            return network.classify(states, words)

        counted = count(make, call)
        with torch.device("meta"):
            words = [] if text is None else list(encoder_from_config(text).parameters())
        # Two operations for each weight and token, and twice as many for the gradients.
        reading = 2.0 * sum(weight.numel() for weight in words if weight.dim() > 1) * WORDS * config.batch
        frozen = network_of(config).freezing == "head" and network_of(config).lora is None
        counted = replace(
            counted,
            forward=counted.forward + reading,
            step=counted.step + (1 if frozen else 3) * reading,
        )
        tested = sum(len(fold.test) + len(fold.validation) for fold in folds)
        if frozen:
            passes = copies * len(clips.utterances) / config.batch
            operations = counted.forward * passes + (counted.step - counted.forward) * steps * config.accumulation
        else:
            operations = counted.step * steps * config.accumulation + counted.forward * tested / config.batch
        return Work(
            round(float(np.mean(examples))), steps, counted.parameters, counted.trained, operations, "attention",
            preparing, network_memory(counted),
        )  # fmt: skip

    def initial_network(self, labels: Sequence[str]) -> tuple[SpeechTextForSequenceClassification, SpeechTextProcessor]:
        """Return the network before training, the same for every fold, and its processor."""
        config, settings = self.config, self.settings
        speech, text = config.speech or None, config.text or None
        network = SpeechTextForSequenceClassification.from_encoders(
            labels, speech, text, settings, config.seed, config.speech_overrides, **config.network
        )
        for source in (network.config.speech_source, network.config.text_source):
            if source and source["id"] != BUNDLED:
                self.weights[source["id"]] = {"commit": source["revision"], "sha256": source["sha256"]}
        network.to(choose_device(settings))  # type: ignore[arg-type]
        return network, SpeechTextProcessor.from_encoders(speech, text, settings)

    def prepare(self, clips: Clips) -> Prepared[Inputs]:
        """Preprocess and transcribe every clip, and pool the states of frozen encoders."""
        with PartialState().main_process_first():  # several processes share one cache
            return self._prepare(clips)

    def _prepare(self, clips: Clips) -> Prepared[Inputs]:
        config, settings = self.config, self.settings
        files = preprocess_and_augment_clips(
            clips.paths, settings, config.preprocessing, config.augmentation, config.seed
        )
        rows = [row for row, copies in enumerate(files) if len(np.load(copies[0], mmap_mode="r"))]
        clips, files = clips.select(rows), [files[row] for row in rows]
        texts = [""] * len(files)
        if config.text:
            texts = [transcript.text for transcript in transcribe_clips(clips.paths, settings)]
        network, processor = self.initial_network(clips.order)
        speech, text = None, None
        if network.config.freezing == "head" and network.config.lora is None:
            if config.speech:
                speech = pool_speech_states(network, processor, [file for copies in files for file in copies], settings)
                speech = speech.reshape(len(files), -1, *speech.shape[1:])
            text = pooled_text(network, processor, texts)
        names = [f"{file.parent.name}/{file.name}" for copies in files for file in copies]
        arrays = [states for states in (speech, text) if states is not None]
        return Prepared(clips, Inputs(files, texts, speech, text), digest(*names, *texts, arrays=arrays))

    def fit(self, prepared: Prepared[Inputs], task: Task) -> SpeechText:
        """Train a network; a recording is preferred to its augmented copies."""
        config, clips, inputs = self.config, prepared.clips, prepared.features
        train, held_out = task.train, task.validation
        if config.patience and not len(held_out):
            train, held_out = hold_out(config, clips, train, task.number)
        rows, copies = training_rows(config, clips.labels, train, len(inputs.files[0]), task.number)
        network, processor = self.initial_network(clips.order)
        checked = validation_rows(config, clips.labels, held_out, len(inputs.files[0]), task.number)
        validation = inputs.examples(clips, *checked) if len(held_out) else None
        training = inputs.examples(clips, rows, copies)
        if training.pooled and network.config.standardized:
            network.fit_standardization(*states_of(network, processor, training))
        fine_tune(network, processor, training, validation, config, task)
        return SpeechText(config.id, network, processor)

    def predict(self, fitted: SpeechText, prepared: Prepared[Inputs], rows: Rows) -> Outputs:
        """Return the log-probabilities of the network, and of audio and text by themselves if it has both."""
        examples = prepared.features.examples(prepared.clips, rows)
        network = fitted.network
        speech, text = states_of(network, fitted.processor, examples)
        outputs = {MAIN: log(probabilities(network, speech, text))}
        if speech is not None and text is not None:
            outputs[f"{COMPONENT}audio"] = log(probabilities(network, speech, None))
            outputs[f"{COMPONENT}text"] = log(probabilities(network, None, text))
        return outputs

    def export(self, fitted: SpeechText, prepared: Prepared[Inputs], temperature: float) -> SpeechText:
        """Return the network as a model."""
        fitted.network.config.score_temperature = temperature
        return fitted


def network_of(config: SpeechTextTraining, **parts: Any) -> SpeechTextConfig:
    """Return the structure of an experiment's network."""
    return SpeechTextConfig(**parts).override(config.network)


def pooled_text(
    network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor, texts: Sequence[str]
) -> NDArray[np.float32] | None:
    """Return pooled states of texts, float32 [n, width], each text encoded once; None without such an encoder."""
    distinct, rows = np.unique(texts, return_inverse=True)
    states = text_states(network, processor, distinct.tolist())
    return None if states is None else states.numpy()[rows]


def states_of(
    network: SpeechTextForSequenceClassification, processor: SpeechTextProcessor, examples: Examples
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return pooled states of speech [n, layers, width] and of text [n, width], known or computed now."""
    if examples.pooled:
        speech = None if examples.speech is None else torch.from_numpy(examples.speech.astype(np.float32))
        return speech, None if examples.text is None else torch.from_numpy(examples.text)
    batches = []
    for first in range(0, len(examples.files), BATCH):
        clips = [load_samples(file) for file in examples.files[first : first + BATCH]]
        if (states := speech_states(network, processor, clips)) is not None:
            batches.append(states)
    return torch.cat(batches) if batches else None, text_states(network, processor, examples.texts)


def probabilities(
    network: SpeechTextForSequenceClassification, speech: torch.Tensor | None, text: torch.Tensor | None
) -> NDArray[np.float32]:
    """Return float32 [n, labels] for pooled states; None leaves a modality out."""
    network.eval()
    with torch.inference_mode():
        states = [None if part is None else part.to(network.device) for part in (speech, text)]
        result: NDArray[np.float32] = network.classify(*states).float().softmax(dim=1).cpu().numpy()
        return result


SYSTEM = SpeechTextSystem
