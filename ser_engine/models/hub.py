"""Any audio classification model of Transformers, with its own labels: HuBERT, wav2vec 2.0, WavLM, Whisper, AST.

Code that comes with a model is never run. A model with randomly initialized parts is refused: a head that is missing
in the checkpoint would give random answers without any sign of it.
"""

from __future__ import annotations

import inspect
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
)

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.base import Model
from ser_engine.models.batching import map_alike
from ser_engine.models.device import autocast, choose_device
from ser_engine.models.encoders import quiet
from ser_engine.models.hub_files import PREPROCESSOR, first_line, id_of
from ser_engine.models.hub_labels import merged, names
from ser_engine.models.store import CONFIG, read_config
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Prediction, Scores, Transcript

BATCH = 8
# The one tensor that scoring never uses (it masks inputs in training), so that it may be missing or superfluous.
TRAINING_ONLY = "masked_spec_embed"
# Only local folders are read, and only data, never code.
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

_LOADING = threading.Lock()  # Transformers' verbosity and torch's default type are global


class HubModel(Model):
    """A model of Transformers as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id : name of the model, with its commit where it comes from the hub
    model : has a head for audio classification; float32, in evaluation mode, on any device
    extractor : the model's own feature extractor, for 16 kHz
    """

    def __init__(self, id: str, model: Any, extractor: Any) -> None:
        self.model, self.extractor = model.eval(), extractor
        config = model.config
        labels, self._sums = merged(names(id.partition("@")[0], config.id2label, config.num_labels))
        super().__init__(id, labels)
        self._accepted = frozenset(inspect.signature(model.forward).parameters)

    @property
    def device(self) -> str:
        """Where the model computes, as torch names it."""
        return str(self.model.device)

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording.

        Every recording gets the features that it would get alone, and only equal shapes are computed together: wav2vec
        2.0 base and its like normalize over time without a mask, so that padding would change their input. Whisper
        and AST pad to a fixed length themselves.
        """
        features = [self._features(speech) for speech in batch]
        rows = map_alike(self._probabilities, features, _shapes, BATCH)
        return [Prediction(Scores(self.labels, probabilities)) for probabilities in rows]

    def _features(self, speech: CleanSpeech) -> dict[str, Tensor]:
        """Return the model's inputs for one recording, each [1, ...]."""
        made = self.extractor(speech.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return {name: tensor for name, tensor in made.items() if name in self._accepted}

    def _probabilities(self, features: Sequence[dict[str, Tensor]]) -> np.ndarray:
        """Return float32 [m, labels] for recordings whose tensors have the same shapes."""
        together = {name: torch.cat([tensors[name] for tensors in features]) for name in features[0]}
        device = self.model.device
        try:
            with torch.inference_mode(), autocast(device):
                logits = self.model(**{name: tensor.to(device) for name, tensor in together.items()}).logits
        except (RuntimeError, ValueError) as error:  # another model's features, or too short for its convolutions
            raise WeightsUnavailable(f"{self.id} could not score the recording: {first_line(error)}.") from error
        probabilities: np.ndarray = logits.float().softmax(dim=1).cpu().numpy() @ self._sums
        return probabilities

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors and preprocessor_config.json into `folder`, the first one last."""
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as part, quiet():
            self.extractor.save_pretrained(part)
            self.model.save_pretrained(part)
            for file in sorted(Path(part).iterdir(), key=lambda file: file.name == CONFIG):
                file.chmod(0o644)  # safetensors makes files that only their owner may read
                file.replace(folder / file.name)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> HubModel:
        """Read a folder as `save_pretrained` writes it, preferring safetensors to pickles.

        Raise WeightsUnavailable if a file is missing or damaged, if it is a model of another kind, or if its head is
        not in the checkpoint.
        """
        id, device = id_of(folder), choose_device(settings)
        with _LOADING, quiet():
            config = _config(folder, id)
            extractor = _extractor(folder, id)
            model, report = _model(folder, id, config)
        _refuse_random(id, model, report)
        return cls(id, model.to(device), extractor)


def _shapes(features: dict[str, Tensor]) -> tuple[tuple[str, torch.Size], ...]:
    return tuple((name, tensor.shape) for name, tensor in features.items())


def _config(folder: Path, id: str) -> Any:
    """Return the model's configuration if it is that of an audio classifier."""
    written = read_config(folder)
    try:
        config = AutoConfig.from_pretrained(folder, **LOCAL)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if "auto_map" in written:
            raise WeightsUnavailable(
                f"{id} comes with code of its own, which is never run here; choose a model that Transformers supports."
            ) from None
        if "model_type" not in written:
            raise WeightsUnavailable(f"The config.json of {id} does not say which kind of model it is.") from None
        raise WeightsUnavailable(
            f"{id} is of a kind that this version of Transformers cannot make ({written['model_type']}): "
            f"{first_line(error)}."
        ) from None
    kind = ", ".join(config.architectures or ()) or config.model_type
    if type(config) not in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING:
        raise WeightsUnavailable(f"{id} is no audio classifier, but a model of another kind ({kind}).")
    if config.problem_type in ("regression", "multi_label_classification") or config.num_labels < 2:
        raise WeightsUnavailable(
            f"{id} does not choose one of several labels, so its answers are no probabilities of emotions."
        )
    return config


def _extractor(folder: Path, id: str) -> Any:
    """Return the model's feature extractor."""
    if not (folder / PREPROCESSOR).is_file():
        raise WeightsUnavailable(
            f"{id} has no {PREPROCESSOR}, so its input format is unknown; that of the model from which it was "
            "fine-tuned may fit."
        )
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder, **LOCAL)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsUnavailable(f"The {PREPROCESSOR} of {id} cannot be used: {first_line(error)}.") from None
    rate = getattr(extractor, "sampling_rate", None)
    if rate != SAMPLE_RATE:
        raise WeightsUnavailable(f"{id} expects {rate} Hz; models here must expect {SAMPLE_RATE} Hz.")
    return extractor


def _model(folder: Path, id: str, config: Any) -> tuple[Any, dict[str, Any]]:
    """Return the model and Transformers' report about its tensors."""
    try:
        model, report = AutoModelForAudioClassification.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, **LOCAL
        )
    except OSError as error:
        if list(folder.glob("*.safetensors")) or list(folder.glob("*.bin")):
            raise WeightsUnavailable(f"The weights of {id} cannot be read: {first_line(error)}.") from None
        raise WeightsUnavailable(
            f"{id} has no weights: there is no model.safetensors next to its config.json; download the model again."
        ) from None
    except (SafetensorError, EOFError, pickle.UnpicklingError):
        raise WeightsUnavailable(
            f"The weights of {id} are damaged, are only a git-lfs pointer, or hold more than tensors; delete "
            f"{folder} and download the model again, with its model.safetensors."
        ) from None
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsUnavailable(
            f"The weights of {id} do not fit its config.json: {first_line(error)}; download the whole model again."
        ) from None
    return model, report


def _refuse_random(id: str, model: Any, report: dict[str, Any]) -> None:
    """Raise where tensors are missing in the checkpoint, or where the model lacks parts of the checkpoint's head."""
    missing = sorted(name for name in report["missing_keys"] if not name.endswith(TRAINING_ONLY))
    encoder = f"{model.base_model_prefix}."
    if head := [name for name in missing if not name.startswith((encoder, "encoder."))]:
        raise WeightsUnavailable(
            f"{id} holds no classifier that {type(model).__name__} knows ({head[0]} is missing), so its answers would "
            "be random; choose a model that was fine-tuned for audio classification."
        )
    if missing:
        raise WeightsUnavailable(
            f"{id} lacks a part of its encoder ({missing[0]}), so its answers would be random; download it again."
        )
    unused = sorted(name for name in report["unexpected_keys"] if not name.endswith(TRAINING_ONLY))
    if head := [name for name in unused if not name.startswith((encoder, "encoder.", "decoder."))]:
        raise WeightsUnavailable(
            f"{id} was made with a head of its own ({head[0]}) that {type(model).__name__} does not have; choose "
            "another model."
        )
