"""Pre-trained encoders of speech and of text, found, verified and loaded; downloads need permission.

An encoder is named by the id of its repository at a hub, with a commit ("facebook/hubert-base-ls960@<commit>") or
without (the newest), by a folder with a transformers checkpoint, or as "whisper-base", which is bundled. Code that
comes with a checkpoint is never run. A model that refers to its encoders stores the commit and the checksum of their
weights.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoFeatureExtractor,
    AutoTokenizer,
    FeatureExtractionMixin,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils import logging

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.encoder_files import EncoderFiles, locate
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.hub_files import first_line
from ser_engine.models.store import TENSORS, read_config, sha256
from ser_engine.models.whisper import shared_whisper
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

Kind = Literal["speech", "text"]

BUNDLED = "whisper-base"
SPEECH_TYPES = ("hubert", "wav2vec2", "wavlm", "whisper")
"""Model types of Transformers that encode speech."""

# Errors of reading a checkpoint: missing or damaged files, no network, shapes or types that do not fit.
UNREADABLE = (
    OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, EOFError, SafetensorError,
    UnpicklingError, HfHubHTTPError,
)  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Transformers' progress bars and reports of tensors: what matters in them is an error here."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _read(files: EncoderFiles, reader: Callable[..., Any], **options: Any) -> Any:
    """Call a `from_pretrained`, whose errors become WeightsUnavailable."""
    try:
        with quiet():
            return reader(files.folder, local_files_only=True, trust_remote_code=False, **options)
    except UNREADABLE as error:
        raise WeightsUnavailable(f"The encoder in {files.folder} cannot be read: {first_line(error)}.") from error


def load_encoder(
    reference: EncoderReference,
    kind: Kind,
    settings: Settings,
    overrides: Mapping[str, Any] | None = None,
    shared: bool = True,
) -> tuple[PreTrainedModel, EncoderReference]:
    """Return an encoder, float32 and in evaluation mode, and the reference with its commit or checksum.

    Parameters
    ----------
    kind : "speech" for HuBERT, wav2vec 2.0, WavLM and Whisper's encoder; "text" for any BERT-like encoder
    overrides : entries of the encoder's own config to change (mask_time_prob, layerdrop)
    shared : whether the bundled Whisper may share tensors with the transcriber, which is for frozen encoders

    Raise WeightsUnavailable if the weights are missing and may not be downloaded, are incomplete, or are not those of
    the reference, ; InvalidSettings for an override of no entry.
    """
    if reference.id == BUNDLED and kind == "speech":
        return _bundled_whisper(reference, settings, overrides or {}, shared)
    files = locate(reference, settings)
    # A commit identifies the weights, but its files may move to a folder.
    known = reference.sha256 if files.from_hub else ""
    digest = known or fingerprint(files.folder)
    if reference.sha256 and digest != reference.sha256:
        raise WeightsUnavailable(
            f"The encoder in {files.folder} is not the one that the model was trained on: its checksum differs."
        )
    config = _config(files, kind, overrides or {})
    make, options = _encoder_class(config)
    if make is WhisperEncoder:  # a checkpoint holds the decoder as well
        options = {"key_mapping": {r"^(model\.)?encoder\.": ""}}
    encoder, report = _read(
        files, make.from_pretrained, config=config, dtype=torch.float32, output_loading_info=True, **options
    )
    if missing := sorted(report["missing_keys"]) + sorted(str(key[0]) for key in report["mismatched_keys"]):
        raise WeightsUnavailable(
            f"The encoder in {files.folder} is incomplete or of another kind: {missing[0]} is missing."
        )
    return encoder.eval(), replace(files.reference, sha256=digest)


def encoder_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """Return an encoder of this config with random weights."""
    make, options = _encoder_class(config)
    encoder: PreTrainedModel = make._from_config(config, **options)
    return encoder


def encoder_of(config: PreTrainedConfig, tensors: Mapping[str, Tensor]) -> PreTrainedModel:
    """Return an encoder with these tensors; ValueError where one is missing, superfluous or of another shape."""
    make, options = _encoder_class(config)
    encoder: PreTrainedModel
    with quiet():
        encoder, report = make.from_pretrained(
            None, config=config, state_dict=dict(tensors), dtype=torch.float32, output_loading_info=True, **options
        )
    if wrong := [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in report[kind]]:
        raise ValueError(f"{wrong[0]} is missing, superfluous, or of another shape")
    encoder.eval()
    return encoder


def load_feature_extractor(reference: EncoderReference, settings: Settings) -> FeatureExtractionMixin:
    """Return a speech encoder's feature extractor, which scales and pads samples and returns an attention mask.

    For Whisper it only pads: the spectrogram is computed at the clip's true length, within the model.
    """
    plain = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    if reference.id == BUNDLED:
        return plain
    files = locate(reference, settings)
    if _config(files, "speech", {}).model_type == "whisper":
        return plain
    extractor: FeatureExtractionMixin = _read(files, AutoFeatureExtractor.from_pretrained)
    if not isinstance(extractor, Wav2Vec2FeatureExtractor) or extractor.sampling_rate != SAMPLE_RATE:
        raise WeightsUnavailable(f"The encoder {reference.id} does not take samples at {SAMPLE_RATE // 1000} kHz.")
    extractor.return_attention_mask = True
    return extractor


def load_tokenizer(reference: EncoderReference, settings: Settings) -> PreTrainedTokenizerBase:
    """Return a text encoder's tokenizer, which truncates texts to the encoder's positions."""
    files = locate(reference, settings)
    config = _config(files, "text", {})
    tokenizer: PreTrainedTokenizerBase = _read(files, AutoTokenizer.from_pretrained)
    if tokenizer.pad_token is None:
        raise WeightsUnavailable(
            f"The tokenizer of {reference.id} cannot pad, so it does not belong to a BERT-like encoder."
        )
    # RoBERTa and similar models count positions from the padding's index, so two are lost.
    positions = getattr(config, "max_position_embeddings", 512) - 2
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer


def _config(files: EncoderFiles, kind: Kind, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    config: PreTrainedConfig = _read(files, AutoConfig.from_pretrained)
    is_speech = config.model_type in SPEECH_TYPES
    is_text = type(config) in MODEL_MAPPING and not config.is_encoder_decoder and hasattr(config, "vocab_size")
    if not (is_speech if kind == "speech" else is_text and not is_speech) or getattr(config, "is_decoder", False):
        wanted = "HuBERT, wav2vec 2.0, WavLM or Whisper" if kind == "speech" else "a BERT-like encoder"
        raise WeightsUnavailable(f"{files.folder} is no encoder of {kind} ({config.model_type}); {wanted} is.")
    if getattr(config, "add_adapter", False):
        raise WeightsUnavailable(f"{files.reference.id} ends in an adapter, which cannot be pooled.")
    return _overridden(config, overrides)


def _overridden(config: PreTrainedConfig, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    """Change existing entries of an encoder's config and return it."""
    for name, value in overrides.items():
        if not hasattr(config, name):
            raise InvalidSettings(f"An encoder of the kind {config.model_type} has no entry “{name}” to change.")
        setattr(config, name, value)
    return config


def _encoder_class(config: PreTrainedConfig) -> tuple[type[Any], dict[str, Any]]:
    """Return the class of an encoder and further arguments for it."""
    if config.model_type == "whisper":
        return WhisperEncoder, {}
    make: Any = MODEL_MAPPING[type(config)]
    # BERT's own pooling layer is not used.
    pools = "add_pooling_layer" in inspect.signature(make).parameters
    return make, {"add_pooling_layer": False} if pools else {}


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 of a folder's weights; for several files, that of their names and checksums."""
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise WeightsUnavailable(f"{folder} holds no weights: there is no model.safetensors in it.")
    try:
        digests = [(file.name, sha256(file)) for file in files]
    except OSError as error:
        raise WeightsUnavailable(f"The weights in {folder} cannot be read: {error.strerror}.") from error
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256(repr(digests).encode()).hexdigest()


# --- The bundled Whisper --------------------------------------------------------------------------------------------

# openai-whisper's names → Transformers' names, in this order.
RENAMED = (
    ("blocks.", "layers."), (".attn.query.", ".self_attn.q_proj."), (".attn.key.", ".self_attn.k_proj."),
    (".attn.value.", ".self_attn.v_proj."), (".attn.out.", ".self_attn.out_proj."),
    (".attn_ln.", ".self_attn_layer_norm."), (".mlp.0.", ".fc1."), (".mlp.2.", ".fc2."),
    (".mlp_ln.", ".final_layer_norm."), ("ln_post.", "layer_norm."), ("positional_embedding", "embed_positions.weight"),
)  # fmt: skip


def _bundled_whisper(
    reference: EncoderReference, settings: Settings, overrides: Mapping[str, Any], shared: bool
) -> tuple[PreTrainedModel, EncoderReference]:
    """Return the bundled Whisper's encoder as Transformers' class."""
    digest = read_config(settings.models_dir / BUNDLED).get("weights", {}).get(TENSORS, "")
    if reference.sha256 not in ("", digest):
        raise WeightsUnavailable(
            f"The bundled {BUNDLED} is not the one that the model was trained on: its checksum differs."
        )
    bundled = shared_whisper(replace(settings, whisper="base"))
    dims = bundled.dims
    config = WhisperConfig(
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        encoder_attention_heads=dims.n_audio_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        max_source_positions=dims.n_audio_ctx,
    )
    _overridden(config, overrides)
    with torch.device("meta"):
        encoder = WhisperEncoder(config)
    state = {_renamed(name): tensor.detach() for name, tensor in bundled.encoder.state_dict().items()}
    encoder.load_state_dict(state if shared else {name: tensor.clone() for name, tensor in state.items()}, assign=True)
    parts: list[Any] = [*encoder.modules(), *encoder.parameters()]
    for part in parts:
        part._is_hf_initialized = True  # keeps Transformers from initializing these weights at random
    return encoder.eval(), replace(reference, sha256=digest)


def _renamed(name: str) -> str:
    for old, new in RENAMED:
        name = name.replace(old, new)
    return name
