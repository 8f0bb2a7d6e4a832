"""Find and load emotion models: the table of architectures, and the models of a folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.base import Model
from ser_engine.models.download import Progress
from ser_engine.models.hub_files import PREFIX, find_hub_model
from ser_engine.models.store import find_part, read_config, references, verify_part
from ser_engine.settings import Settings

# Architecture in config.json → module and class, which is imported when a model of that architecture is loaded.
ARCHITECTURES = {
    "whisper-statistics": ("ser_engine.models.whisper_statistics", "WhisperStatistics"),
    "classical": ("ser_engine.models.classical", "Classical"),
    "network": ("ser_engine.papers.network", "Network"),
    "speech-text": ("ser_engine.models.speech_text", "SpeechText"),
    "whisper-tuned": ("ser_engine.models.whisper_tuned", "WhisperTuned"),
    "whisper-heads": ("ser_engine.models.whisper_heads", "WhisperHeads"),
    "fused": ("ser_engine.models.fused", "Fused"),
    "transformers": ("ser_engine.models.hub", "HubModel"),
    "text-emotion": ("ser_engine.models.text_emotion", "TextEmotion"),
}

# The same for those that onnxruntime computes, which loads without torch.
ONNX = ARCHITECTURES | {
    "whisper-tuned": ("ser_engine.models.whisper_onnx", "OnnxTuned"),
    "whisper-heads": ("ser_engine.models.whisper_onnx", "OnnxHeads"),
    "text-emotion": ("ser_engine.models.text_onnx", "OnnxTextEmotion"),
}

# Architectures of folders in models/ that are no emotion models themselves.
PARTS = (
    "whisper",
    "audio-embedding",
    "text-emotion",
    "speaker-embedding",
    "segmentation",
    "voice-kind",
    "speech-detector",
)

# What Transformers' own folders name under "architectures" when they classify audio: its classes for the Auto class
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


def load_answering_model(folder: Path, settings: Settings) -> Model:
    """Load a model for answers alone: by onnxruntime where the settings say so and it can, else as `load_model`."""
    if settings.uses_onnx and _onnx_computes(folder, settings):
        model: Model = _load(folder, settings, ONNX.keys() - set(PARTS), ONNX)
        return model
    return load_model(folder, settings)


def _onnx_computes(folder: Path, settings: Settings) -> bool:
    """Return whether there are graphs for the model and all that it consists of."""
    config = read_config(folder)
    architecture = config.get("architecture")
    if architecture == "text-emotion":
        from ser_engine.models.text_onnx import OnnxTextEmotion

        return OnnxTextEmotion.fits(folder)
    if architecture in ("whisper-heads", "whisper-tuned", "fused"):
        parts = references(folder).values()
        return all(_onnx_computes(find_part(part["id"], folder, settings), settings) for part in parts)
    return False


def load_model(folder: Path, settings: Settings) -> Model:
    """Load the model in `folder` as it was trained, whatever its architecture, and the models that it consists of.

    Raise WeightsUnavailable if the folder holds no model, or one of an architecture that this version does not know.
    """
    from ser_engine.models.batching import set_up_torch

    set_up_torch(settings.threads)
    model: Model = _load(folder, settings, ARCHITECTURES.keys() - set(PARTS))
    return model


def _load(
    folder: Path, settings: Settings, known: Collection[str], table: Mapping[str, tuple[str, str]] = ARCHITECTURES
) -> Any:
    config = read_config(folder)
    # A folder of Transformers has no such entry, but one for its kind; `HubModel.load` checks that it is for audio.
    default = "transformers" if "model_type" in config else "no kind is named"
    architecture = str(config.get("architecture", default))
    if architecture not in known:
        raise WeightsUnavailable(f"{folder.name} is of a kind that this version does not know ({architecture}).")
    module, name = table[architecture]
    model_class = getattr(import_module(module), name)
    places = {name: verify_part(part, folder, settings) for name, part in references(folder).items()}
    parts = {name: _load(place, settings, table, table) for name, place in places.items()}
    return model_class.load(folder, settings, parts) if parts else model_class.load(folder, settings)


def find_model(settings: Settings, fetch: bool = True, progress: Progress | None = None) -> Path:
    """Return the folder of the emotion model: the one that `settings.model` names, or else models/DEFAULT.

    "hf:..." is a model of the hub (see `hub_files.find_hub_model`), downloaded where `fetch` and the settings permit;
    `progress` is called with the bytes of a download.
    Raise WeightsUnavailable if there is no such model; the text lists the available ones.
    """
    name = settings.model
    if not name:
        try:
            name = (settings.models_dir / "DEFAULT").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise WeightsUnavailable(f"{settings.models_dir} names no default model; {_choices(settings)}.") from None
    if name.startswith(PREFIX):
        return find_hub_model(name, settings, fetch, progress)
    for folder in (settings.models_dir / name, Path(name).expanduser()):
        if name and _is_emotion_model(folder):
            return folder
    raise WeightsUnavailable(f"There is no emotion model “{name}”; {_choices(settings)}.")


def list_models(settings: Settings) -> tuple[str, ...]:
    """Return the names of the emotion models in `settings.models_dir`, sorted."""
    folders = settings.models_dir.iterdir() if settings.models_dir.is_dir() else ()
    return tuple(sorted(folder.name for folder in folders if _is_emotion_model(folder)))


def _choices(settings: Settings) -> str:
    names = ", ".join(list_models(settings))
    local = f"{names}, or the path of a model's folder" if names else "a model's path"
    return f"SER_MODEL can be {local}, or {PREFIX}OWNER/NAME for one of the Hugging Face hub"


def _is_emotion_model(folder: Path) -> bool:
    try:
        config = read_config(folder)
    except WeightsUnavailable:
        return False
    if "architecture" in config:
        return config["architecture"] not in PARTS
    classes = config.get("architectures")
    return isinstance(classes, list) and not AUDIO_CLASSIFIERS.isdisjoint(map(str, classes))
