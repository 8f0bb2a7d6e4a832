"""Encoders that return the mean of their states over a clip: the same mean alone and in any batch.

Padding would change a clip's states in two ways: HuBERT's and wav2vec 2.0's base models normalize their first
convolution over time, padding included, and Whisper's convolutions see a few samples across the end. So the
convolutions run on each clip by itself (on clips of one length together), and only the transformer runs on padded
batches, with the padding masked. Whisper encodes a clip at its true length, without its 30 s of padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask

from ser_engine.models.batching import map_alike

MIN_SAMPLES = 400
"""Samples that wav2vec 2.0's convolutions need for one frame, and Whisper's spectrogram for one column: 25 ms."""
HOP_SAMPLES = 320
"""Samples of one position of Whisper's encoder: two columns of its spectrogram."""


def pooled_encoder(encoder: PreTrainedModel, all_layers: bool) -> PooledEncoder:
    """Wrap an encoder of speech in its pooling."""
    whisper = encoder.config.model_type == "whisper"
    return (PooledWhisper if whisper else PooledWaveEncoder)(encoder, all_layers)


def state_count(config: PreTrainedConfig) -> int:
    """Return the number of states: the first layer's input, each layer's output, and the normalized last output.

    Only some encoders normalize the last output (Whisper, and the large HuBERT, wav2vec 2.0 and WavLM).
    """
    if config.model_type == "whisper":
        return int(config.encoder_layers) + 2
    return int(config.num_hidden_layers) + 1 + int(config.do_stable_layer_norm)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Map [batch, positions, width] and a mask [batch, positions] to means [batch, width] over the mask."""
    real = mask.to(states.dtype)[..., None]
    return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def transformer_layers(encoder: Any) -> list[nn.Module]:
    """Return the layers of an encoder's transformer, the lowest first: its list of as many as its config says."""
    count = encoder.config.num_hidden_layers
    lists = (list(part.children()) for part in encoder.modules() if isinstance(part, nn.ModuleList))
    return next((layers for layers in lists if len(layers) == count), [])


class PooledEncoder(nn.Module):
    """An encoder of speech with a mean over time; `encoder` is Transformers' own module.

    Its forward maps samples [batch, n] and each clip's real length to means over time [batch, layers, width].
    `convolutions` are the layers before the transformer, which "partial" freezing freezes.
    """

    encoder: Any
    convolutions: nn.Module

    def __init__(self, encoder: PreTrainedModel, all_layers: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.all_layers = all_layers
        self.layers = state_count(encoder.config) if all_layers else 1


class PooledWaveEncoder(PooledEncoder):
    """HuBERT, wav2vec 2.0 or WavLM, whose convolutions read samples."""

    def __init__(self, encoder: PreTrainedModel, all_layers: bool) -> None:
        super().__init__(encoder, all_layers)
        self.convolutions = self.encoder.feature_extractor
        self.encoder.feature_extractor = nn.Identity()  # the convolutions run before
        if all_layers:
            self.encoder.config.layerdrop = 0.0  # a skipped layer has no states

    def forward(self, input_values: Tensor, lengths: Sequence[int]) -> Tensor:
        """Map samples [batch, n] and each clip's real length to means over time [batch, layers, width]."""
        lengths = [max(length, MIN_SAMPLES) for length in lengths]
        input_values = functional.pad(input_values, (0, max(0, max(lengths) - input_values.shape[1])))
        features = self.convolve(input_values, lengths)
        frames = [len(feature) for feature in features]
        mask = _mask(lengths, input_values.device) if len(set(frames)) > 1 else None
        out = self.encoder(
            pad_sequence(features, batch_first=True).transpose(1, 2),
            attention_mask=mask,
            output_hidden_states=self.all_layers,
        )
        real = _mask(frames, input_values.device)
        states = [out.last_hidden_state]
        if self.all_layers:
            states = [*out.hidden_states, *(states if self.encoder.config.do_stable_layer_norm else [])]
        return torch.stack([masked_mean(layer, real) for layer in states], dim=1)

    def convolve(self, input_values: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """Return the convolutions' features [frames, width] of each clip, computed on it alone."""
        clips = [samples[:length] for samples, length in zip(input_values, lengths, strict=True)]
        features = map_alike(lambda alike: self.convolutions(torch.stack(alike)), clips, len, len(clips))
        return [feature.transpose(0, 1) for feature in features]


class PooledWhisper(PooledEncoder):
    """Whisper's encoder at a clip's true length; longer clips than its positions are encoded in equal chunks."""

    def __init__(self, encoder: PreTrainedModel, all_layers: bool) -> None:
        super().__init__(encoder, all_layers)
        self.convolutions = nn.ModuleList([self.encoder.conv1, self.encoder.conv2])
        # Under one name only, so that every tensor is stored once.
        del self.encoder.conv1, self.encoder.conv2
        if all_layers:
            self.encoder.layerdrop = 0.0

    def forward(self, input_values: Tensor, lengths: Sequence[int]) -> Tensor:
        """Map samples [batch, n] and each clip's real length to means over time [batch, layers, width]."""
        longest = self.encoder.config.max_source_positions * HOP_SAMPLES
        pieces, owners = [], []
        for row, length in enumerate(lengths):
            clip = functional.pad(input_values[row, :length], (0, max(0, MIN_SAMPLES - length)))
            chunks = clip.tensor_split(-(-len(clip) // longest))
            pieces += [self.convolve(chunk) for chunk in chunks]
            owners += [row] * len(chunks)
        mask = _mask([len(piece) for piece in pieces], input_values.device)
        states = self.transform(pad_sequence(pieces, batch_first=True), mask)
        real = mask.to(states[0].dtype)[..., None]
        sums = torch.stack([(layer * real).sum(dim=1) for layer in states], dim=1)
        owner = torch.tensor(owners, device=sums.device)
        total = sums.new_zeros((len(lengths), *sums.shape[1:])).index_add(0, owner, sums)
        counts = sums.new_zeros(len(lengths)).index_add(0, owner, real.sum(dim=(1, 2)))
        return total / counts[:, None, None]

    def convolve(self, samples: Tensor) -> Tensor:
        """Map a chunk's samples [n] to the first layer's input, positions added: [positions, width]."""
        from whisper.audio import log_mel_spectrogram

        mel = log_mel_spectrogram(samples.float(), self.encoder.config.num_mel_bins)
        features: Tensor = mel[None].to(self.convolutions[0].weight.dtype)  # type: ignore[index]
        for convolution in self.convolutions:  # type: ignore[attr-defined]
            features = functional.gelu(convolution(features))
        features = features[0].transpose(0, 1)
        positions: Tensor = self.encoder.embed_positions.weight[: len(features)]
        return features + positions

    def transform(self, hidden: Tensor, mask: Tensor) -> list[Tensor]:
        """Return the states [batch, positions, width] of every layer, or of the last alone.

        Transformers' own forward requires 30 s and takes no mask, so its layers are called one by one.
        """
        encoder = self.encoder
        ragged = None if bool(mask.all()) else mask
        attention = create_bidirectional_mask(config=encoder.config, inputs_embeds=hidden, attention_mask=ragged)
        hidden = functional.dropout(hidden, p=encoder.dropout, training=self.training)
        states = [hidden]
        for layer in encoder.layers:
            if not (encoder.training and encoder.layerdrop > 0 and torch.rand([]) < encoder.layerdrop):
                hidden = layer(hidden, attention)
            states.append(hidden)
        last = encoder.layer_norm(hidden)
        return [*states, last] if self.all_layers else [last]


class PooledTextEncoder(nn.Module):
    """A BERT-like encoder with a mean over tokens; a row without any token is a zero vector."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder: Any = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map tokens and their mask, each [batch, tokens], to means over the real ones: [batch, width]."""
        present = attention_mask.any(dim=1)
        if not bool(present.any()):
            parameter: Tensor = next(self.encoder.parameters())
            return parameter.new_zeros((len(input_ids), self.encoder.config.hidden_size))
        mask = attention_mask[present]
        states = self.encoder(input_ids=input_ids[present], attention_mask=mask).last_hidden_state
        means = masked_mean(states, mask)
        return means.new_zeros((len(input_ids), means.shape[1])).masked_scatter(present[:, None], means)


class Standardization(nn.Module):
    """Centers and scales pooled states by their training statistics; a row of zeros (no words) stays one."""

    mean: Tensor
    scale: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def fit(self, states: Tensor) -> None:
        """Compute mean and deviation of the states [n, *shape] that are not zero."""
        nonzero = states[states.flatten(1).any(dim=1)]
        if len(nonzero):
            self.mean.copy_(nonzero.mean(dim=0))
            self.scale.copy_(1 / nonzero.std(dim=0, correction=0).clamp(min=1e-5))

    def forward(self, states: Tensor) -> Tensor:
        """Map states [batch, *shape] to standardized ones."""
        nonzero = states.flatten(1).any(dim=1).view(-1, *[1] * (states.dim() - 1))
        return (states - self.mean) * self.scale * nonzero


def _mask(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return bool [batch, longest]: which positions are real."""
    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
