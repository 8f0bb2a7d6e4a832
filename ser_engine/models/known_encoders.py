"""The shapes of the papers' encoders, so that their cost can be counted before their weights are here."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, BertConfig, HubertConfig, PreTrainedConfig, Wav2Vec2Config, WhisperConfig

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.encoder_files import FILES, find_folder
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import BUNDLED
from ser_engine.models.hub_files import Reference, cached_files
from ser_engine.models.store import read_config
from ser_engine.settings import Settings

LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
MINILM: dict[str, Any] = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
# Published before its layer norms moved to the front.
GROUP_NORM: dict[str, Any] = LARGE | {"feat_extract_norm": "group", "do_stable_layer_norm": False, "conv_bias": False}
PUBLISHED: dict[str, PreTrainedConfig] = {
    "facebook/hubert-base-ls960": HubertConfig(),
    "facebook/hubert-large-ll60k": HubertConfig(**LARGE),
    "facebook/wav2vec2-large": Wav2Vec2Config(**GROUP_NORM),
    "google-bert/bert-base-uncased": BertConfig(),
    "sentence-transformers/all-MiniLM-L6-v2": BertConfig(**MINILM),
}
"""The shape of each encoder in a configuration of the papers."""


def known_config(name: str, settings: Settings) -> PreTrainedConfig:
    """Return the shape of an encoder: from its files, if they are here, or as it was published.

    Raise WeightsUnavailable for others.
    """
    reference = EncoderReference.parse(name)
    if reference.id == BUNDLED:
        dims = read_config(settings.models_dir / BUNDLED)["dims"]
        return WhisperConfig(
            num_mel_bins=dims["n_mels"],
            d_model=dims["n_audio_state"],
            encoder_layers=dims["n_audio_layer"],
            encoder_attention_heads=dims["n_audio_head"],
            encoder_ffn_dim=4 * dims["n_audio_state"],
            max_source_positions=dims["n_audio_ctx"],
        )
    wanted = Reference(reference.id, reference.revision or None)
    folder = find_folder(reference, settings) or cached_files(wanted, FILES)
    if folder:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True)
        return config
    if reference.id not in PUBLISHED:
        raise WeightsUnavailable(f"The shape of {name} is not known until its files are here.")
    return PUBLISHED[reference.id]
