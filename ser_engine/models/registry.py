"""Which emotion models there are, and which class reads which kind of model folder."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.base import Model
from ser_engine.models.hub_files import PREFIX, find
from ser_engine.models.store import CONFIG, read_config
from ser_engine.settings import Settings

# Architecture in config.json → module and class; modules are imported when a model of theirs is loaded.
ARCHITECTURES = {
    "whisper-statistics": ("ser_engine.models.whisper_statistics", "WhisperStatistics"),
    "classical": ("ser_engine.models.classical", "Classical"),
    "network": ("ser_engine.papers.network", "Network"),
    "speech-text": ("ser_engine.models.speech_text", "SpeechText"),
    "whisper-tuned": ("ser_engine.models.whisper_tuned", "WhisperTuned"),
    "fused": ("ser_engine.models.fused", "Fused"),
    "transformers": ("ser_engine.models.hub", "HubModel"),
}

MEASURED = "measured"
"""What a part's config.json may say anew without being another part: its figures."""

# What lies among the models and names no emotions of a voice: Whisper, the networks whose embeddings others read, and
# what reads words alone.
PARTS = ("whisper", "audio-embedding", "text-emotion")

# What Transformers' own folders name under "architectures" when they classify sound: its classes for the Auto class
# AutoModelForAudioClassification, written out, since a list of models must not wait for torch.
AUDIO_CLASSIFIERS = frozenset(
    {
        "ASTForAudioClassification",
        "Data2VecAudioForSequenceClassification",
        "HubertForSequenceClassification",
        "SEWDForSequenceClassification",
        "SEWForSequenceClassification",
        "UniSpeechForSequenceClassification",
        "UniSpeechSatForSequenceClassification",
        "Wav2Vec2BertForSequenceClassification",
        "Wav2Vec2ConformerForSequenceClassification",
        "Wav2Vec2ForSequenceClassification",
        "WavLMForSequenceClassification",
        "WhisperForAudioClassification",
    }
)


def load_model(folder: Path, settings: Settings) -> Model:
    """Load the model in `folder`, whatever its architecture.

    Raises
    ------
    WeightsUnavailable
        The folder holds no model, or one of an architecture that this version does not know.
    """
    config = read_config(folder)
    # A folder of Transformers has no entry of ours, but one for its kind; whether that is one for sound, `load` says.
    named = "transformers" if "model_type" in config else "no kind is named"
    architecture = str(config.get("architecture", named))
    if architecture not in ARCHITECTURES:
        raise WeightsUnavailable(f"{folder.name} is of a kind that this version does not know ({architecture}).")
    module, name = ARCHITECTURES[architecture]
    model: Model = getattr(import_module(module), name).load(folder, settings)
    return model


def default_model(settings: Settings, fetch: bool = True) -> Path:
    """Return the folder of the emotion model: the one that `settings.model` names, or else models/DEFAULT.

    "hf:..." is a model of the hub (see `hub_files.find`), which is fetched where `fetch` and the settings allow it.

    Raises
    ------
    WeightsUnavailable
        There is no such model; the text lists those there are.
    """
    name = settings.model
    if not name:
        try:
            name = (settings.models_dir / "DEFAULT").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise WeightsUnavailable(f"{settings.models_dir} names no default model; {_offer(settings)}.") from None
    if name.startswith(PREFIX):
        return find(name, settings, fetch)
    for folder in (settings.models_dir / name, Path(name).expanduser()):
        if name and _is_emotion_model(folder):
            return folder
    raise WeightsUnavailable(f"There is no emotion model “{name}”; {_offer(settings)}.")


def emotion_models(settings: Settings) -> tuple[str, ...]:
    """Return the names of the emotion models in `settings.models_dir`, sorted."""
    folders = settings.models_dir.iterdir() if settings.models_dir.is_dir() else ()
    return tuple(sorted(folder.name for folder in folders if _is_emotion_model(folder)))


def parts(folder: Path, settings: Settings) -> tuple[Path, ...]:
    """Return the folders of the models that a model is made of, each before its own parts; none for most.

    Raises
    ------
    WeightsUnavailable
        The folder holds no model, or one of its parts is nowhere.
    """
    named = [entry for entry in read_config(folder).values() if is_part(entry)]
    places = [part_folder(part["id"], folder, settings) for part in named]
    return tuple(one for place in places for one in (place, *parts(place, settings)))


def is_part(entry: Any) -> bool:
    """Whether an entry of config.json names another model's folder beside it, and nothing further away."""
    if not isinstance(entry, dict) or set(entry) != {"id", "sha256"}:
        return False
    named = all(isinstance(value, str) and value for value in entry.values())
    return named and entry["id"] == Path(entry["id"]).name and entry["id"] != ".."


def part_folder(id: str, folder: Path, settings: Settings) -> Path:
    """Return the folder of a part of the model in `folder`, which lies beside it or in `settings.models_dir`.

    Raises
    ------
    WeightsUnavailable
        It is in neither.
    """
    for place in (folder.parent / id, settings.models_dir / id):
        if (place / CONFIG).is_file():
            return place
    raise WeightsUnavailable(f"{folder.name} needs the model {id}, which is not in {settings.models_dir}.")


def identity(folder: Path) -> str:
    """Return the sha256 of all that decides a model's answers: its config.json, which has its weights' checksums.

    Figures that were measured may be written anew.

    Raises
    ------
    WeightsUnavailable
        The folder holds no model, or one without checksums.
    """
    config = read_config(folder)
    if not config.get("weights"):
        raise WeightsUnavailable(f"{folder} states no checksums of its weights, so it cannot be a part of a model.")
    lasting = {key: value for key, value in config.items() if key != MEASURED}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()


def found_part(part: dict[str, str], folder: Path, settings: Settings) -> Path:
    """Return the folder of a part of the model in `folder`, if it is the one that the model was made of.

    Raises
    ------
    WeightsUnavailable
        It is nowhere, or another one.
    """
    place = part_folder(part["id"], folder, settings)
    if identity(place) != part["sha256"]:
        raise WeightsUnavailable(f"{place} is not the model that {folder.name} was made of.")
    return place


def _offer(settings: Settings) -> str:
    names = ", ".join(emotion_models(settings))
    ours = f"{names}, or the path of a model's folder" if names else "a model's path"
    return f"SER_MODEL can be {ours}, or {PREFIX}OWNER/NAME for one of the Hugging Face hub"


def _is_emotion_model(folder: Path) -> bool:
    try:
        config = read_config(folder)
    except WeightsUnavailable:
        return False
    if "architecture" in config:
        return config["architecture"] not in PARTS
    classes = config.get("architectures")
    return isinstance(classes, list) and not AUDIO_CLASSIFIERS.isdisjoint(map(str, classes))
