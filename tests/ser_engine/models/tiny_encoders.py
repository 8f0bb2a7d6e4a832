"""Tiny encoders with random weights, written to disk as their publishers write the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertModel,
    BertTokenizer,
    HubertConfig,
    HubertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

SENTENCES = "dogs kids are sitting talking by the door it is eleven o ' clock i wonder what this about . say word"
WORDS = SENTENCES.split()

# Small, but with the real ones' kernels and strides, so that a frame is 20 ms.
WAVE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
# The large models' way: layer norm in every convolution, and before the attention.
LARGE: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
SPEECH = ("hubert", "hubert-large", "wav2vec2", "wavlm", "wavlm-large", "whisper")


def speech_model(kind: str) -> PreTrainedModel:
    """Return a random model of one of `SPEECH`; of wav2vec 2.0 and Whisper with heads that no encoder needs."""
    torch.manual_seed(0)
    name, _, size = kind.partition("-")
    shape = WAVE | (LARGE if size else {})
    if name == "hubert":
        model: Any = HubertModel(HubertConfig(**shape))
    elif name == "wav2vec2":
        model = Wav2Vec2ForPreTraining(Wav2Vec2Config(**shape, codevector_dim=8, proj_codevector_dim=8))
    elif name == "wavlm":
        model = WavLMModel(WavLMConfig(**shape))
    else:
        model = WhisperForConditionalGeneration(
            WhisperConfig(
                vocab_size=60, d_model=16, encoder_layers=3, decoder_layers=1, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_source_positions=100,
                pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
            )
        )  # fmt: skip
    return loud(model)


def loud(model: Any) -> Any:
    """Return the model with larger weights, so that its opinions differ from clip to clip."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "conv" not in name and "embed" not in name:
                parameter.mul_(8)
    return model.eval()


def write_speech(folder: Path, kind: str = "hubert") -> Path:
    """Write a tiny encoder of speech with its feature extractor."""
    speech_model(kind).save_pretrained(folder)
    if kind == "whisper":
        WhisperFeatureExtractor().save_pretrained(folder)
    else:
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask="large" in kind).save_pretrained(folder)
    return folder


def write_text(folder: Path, kind: str = "bert") -> Path:
    """Write a tiny BERT with its tokenizer, with its pre-training heads ("bert-heads"), or a RoBERTa."""
    torch.manual_seed(1)
    shape: dict[str, Any] = {
        "vocab_size": len(WORDS) + 5,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 24,
    }
    if kind == "roberta":
        model: Any = RobertaModel(RobertaConfig(**shape, pad_token_id=0))
    else:
        model = (BertForPreTraining if kind == "bert-heads" else BertModel)(BertConfig(**shape))
    loud(model).save_pretrained(folder)
    vocabulary = {word: row for row, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    BertTokenizer(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    return folder
