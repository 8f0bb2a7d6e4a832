"""Audio and text combined: the log-probabilities of an audio run, and the odds that the words of each clip change.

Nothing is trained: the audio predictions are those of the folds of another run, the text model is finished, and how
both are combined is in `models.fusion`. The sentences of acted corpora carry no emotion: at best they change nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from shutil import copyfile
from typing import Annotated, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from ser_engine.data.transcripts import transcribe_clips
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.cards import write_fused_card
from ser_engine.evaluation.evaluate import calibrated, measure_predictions
from ser_engine.evaluation.metrics import percent, unweighted_accuracy
from ser_engine.evaluation.ordinary import is_ordinary
from ser_engine.evaluation.predictions import (
    COMPONENT,
    MAIN,
    Outputs,
    Predictions,
    predicted_classes,
)
from ser_engine.evaluation.record import RunRecord
from ser_engine.io import write_arrays
from ser_engine.models import trained_on
from ser_engine.models.fused import AUDIO, TEXT, Fused
from ser_engine.models.fusion import apply_odds, label_odds
from ser_engine.models.registry import load_model
from ser_engine.models.store import read_config, reference
from ser_engine.models.text_emotion import TextEmotion
from ser_engine.training.clips import Clips, Rows
from ser_engine.training.config import STRICT, ExperimentConfig, load_config
from ser_engine.training.heads import card_figures
from ser_engine.training.system import Prepared, Task, Workspace, digest
from ser_engine.training.systems.classical import log
from ser_engine.training.talk import TalkSystem
from ser_engine.types import Scores

ODDS = "words.npz"
"""The odds that the words of each clip change, saved with the run, so that nothing is transcribed again."""
ODDS_OUTPUT = "odds"
"""The logarithms of these odds among the outputs of a run."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FusedConfig(ExperimentConfig):
    """An experiment with an audio run and a finished text model.

    Attributes
    ----------
    audio_run : "<source>/<system>" of the audio run
    text_model : the text model's folder in the models folder
    """

    audio_run: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]
    text_model: str
    save: bool = True


class FusedSystem(TalkSystem[FusedConfig, Predictions, None]):
    """An audio run and a text model; its features are the audio run's predictions with the odds of the words."""

    config_class = FusedConfig
    calibrated = True

    def __init__(self, config: FusedConfig, workspace: Workspace) -> None:
        super().__init__(config, workspace)
        audio = load_config(workspace.configs / f"{config.audio_run}.toml", config.protocol)
        if not audio.save:
            raise InvalidSettings(f"audio_run names {config.audio_run}, which saves no model.")
        if audio.corpora != config.corpora or audio.label_set != config.label_set:
            raise InvalidSettings(f"{config.id} and {config.audio_run} differ in corpora or labels.")
        self.parts = (self.settings.models_dir / audio.id, self.settings.models_dir / config.text_model)
        audio_folder, text_folder = self.parts
        self.model = Fused(
            config.id,
            load_model(audio_folder, self.settings),
            TextEmotion.load(text_folder, self.settings),
            {AUDIO: reference(audio_folder), TEXT: reference(text_folder)},
        )

    @property
    def corpora(self) -> list[str]:
        """The corpora that the audio model was trained on."""
        return list(read_config(self.parts[0])["corpora"])

    @property
    def inputs(self) -> str:
        """The two models."""
        return f"audio by {self.parts[0].name}, text by {self.parts[1].name}"

    @property
    def finished_run(self) -> str:
        """The audio run."""
        return self.config.audio_run

    def prepare(self, clips: Clips) -> Prepared[Predictions]:
        """Read the audio run's predictions, and the words of each clip, which are transcribed if they are not saved."""
        audio = self.read_run(self.config.audio_run, clips)
        audio.outputs[ODDS_OUTPUT] = self._odds(clips)
        return Prepared(clips, audio, digest(arrays=[audio.main, audio.outputs[ODDS_OUTPUT]]))

    def fit(self, prepared: Prepared[Predictions], task: Task) -> None:
        """Do nothing."""

    def predict(self, fitted: None, prepared: Prepared[Predictions], rows: Rows) -> Outputs:
        """Return the log-probabilities of both, of audio alone, and the log-odds of the words."""
        audio = prepared.features
        probabilities = calibrated(audio)
        odds = audio.outputs[ODDS_OUTPUT]
        fused = [
            apply_odds(Scores(audio.labels, probabilities[row]), odds[row].astype(np.float64)).probabilities
            for row in rows
        ]
        return {MAIN: log(np.stack(fused)), f"{COMPONENT}audio": audio.main[rows], ODDS_OUTPUT: odds[rows]}

    def measure(self, predictions: Predictions) -> dict[str, Any]:
        """Return the record's entries, and how often words are informative, change the answer, and what they cost."""
        everything, predictions = predictions, predictions.select(~is_ordinary(predictions.utterances))
        odds, true = predictions.outputs[ODDS_OUTPUT], predictions.targets
        audio = predicted_classes(predictions.outputs[f"{COMPONENT}audio"])
        fused = predicted_classes(predictions.main)
        words = {
            "informative": percent((odds != odds[:, :1]).any(axis=1)),
            "changed": percent(audio != fused),
            "lost": round(unweighted_accuracy(true, audio) - unweighted_accuracy(true, fused), 2),
        }
        return measure_predictions(everything) | {"details": {"words": words}}

    def export(self, fitted: None, prepared: Prepared[Predictions], temperature: float) -> Fused:
        """Return both models as one."""
        return self.model

    def training_files(self, prepared: Prepared[Predictions]) -> list[Path]:
        """Return nothing: `write_card` copies the audio model's list."""
        return []

    def card(self, record: RunRecord) -> dict[str, Any]:
        """Return the corpora and the measured figures."""
        return {"corpora": self.corpora, "measured": card_figures(record, self.corpora)}

    def write_card(self, folder: Path, record: RunRecord) -> None:
        """Write the model card; the training clips are those of the audio model."""
        copyfile(self.parts[0] / trained_on.FILE, folder / trained_on.FILE)
        write_fused_card(folder, record, self.parts[0].name, self.corpora)

    def _odds(self, clips: Clips) -> NDArray[np.float32]:
        """Return by what the words of each clip multiply the odds of each label, [n, labels]; 1 for ordinary talk."""
        talk = np.ones((len(self.talk.utterances), len(clips.order)), np.float32)
        return np.concatenate([self._odds_of_words(self.without_talk(clips)), talk])

    def _odds_of_words(self, clips: Clips) -> NDArray[np.float32]:
        """Return the odds of clips whose words are known or transcribed."""
        saved, identity = self.settings.results / self.workspace.id / ODDS, self.identity(clips)
        try:
            with np.load(saved, allow_pickle=False) as file:
                if str(file["identity"]) == identity:
                    return np.asarray(file["odds"], np.float32)
        except (OSError, ValueError, KeyError, BadZipFile):
            pass
        transcripts = transcribe_clips(clips.paths, self.settings)
        texts = self.model.predict_text(transcripts)
        odds = np.stack(
            [label_odds(text, said.confidence, clips.order) for text, said in zip(texts, transcripts, strict=True)]
        ).astype(np.float32)
        write_arrays(saved, identity=identity, odds=odds)
        return odds

    def identity(self, clips: Clips) -> str:
        """Return what the odds of these clips depend on, as a SHA-256 in hexadecimal."""
        whisper = read_config(self.settings.models_dir / f"whisper-{self.settings.whisper}").get("weights")
        names = [f"{path.parent.name}/{path.name}" for path in clips.paths]
        known = [names, clips.order, self.model.parts[TEXT]["sha256"], whisper, self.settings.language]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


SYSTEM = FusedSystem
