"""Encoders that return the mean of their states over a clip: the same mean alone and in any batch.

Two things would let a clip's neighbours speak into its own states: HuBERT's and wav2vec 2.0's base models normalise
their first convolution over time, padding included, and Whisper's convolutions see a few samples across the end. So the
convolutions run on each clip by itself (on clips of one length together), and only what follows runs on padded batches,
with the padding masked. Whisper hears a clip at its true length, without its 30 s of padding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask

MIN_SAMPLES = 400
"""What wav2vec 2.0's convolutions need for one frame, and Whisper's spectrogram for one column: 25 ms."""
HOP_SAMPLES = 320
"""Samples of one position of Whisper's encoder: two columns of its spectrogram."""


def pooled_encoder(encoder: PreTrainedModel, all_layers: bool) -> PooledEncoder:
    """Return what pools this encoder of speech."""
    whisper = encoder.config.model_type == "whisper"
    return (PooledWhisper if whisper else PooledWaveEncoder)(encoder, all_layers)


def state_count(config: PreTrainedConfig) -> int:
    """Return how many layers' states there are: what enters the first, what leaves each, and that normalised.

    Only some encoders normalise what leaves the last layer (Whisper, and the large HuBERT, wav2vec 2.0 and WavLM).
    """
    if config.model_type == "whisper":
        return config.encoder_layers + 2
    return config.num_hidden_layers + 1 + int(config.do_stable_layer_norm)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Map [batch, positions, width] and a mask [batch, positions] to means [batch, width] over what is not masked."""
    real = mask.to(states.dtype)[..., None]
    return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


class PooledEncoder(nn.Module):
    """An encoder of speech behind a mean over time; `encoder` is transformers' own module.

    `convolutions` are the layers before the transformer, which "partial" freezing leaves alone.
    """

    encoder: Any
    convolutions: nn.Module

    def __init__(self, encoder: PreTrainedModel, all_layers: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.all_layers = all_layers
        self.layers = state_count(encoder.config) if all_layers else 1

    def top(self) -> list[nn.Module]:
        """Return the transformer's layers, the lowest first."""
        raise NotImplementedError

    def forward(self, input_values: Tensor, lengths: Sequence[int]) -> Tensor:
        """Map samples [batch, n] and each clip's real length to means over time [batch, layers, width]."""
        raise NotImplementedError


class Passed(nn.Module):
    """Stands where the convolutions were: what comes in is already convolved."""

    def forward(self, features: Tensor) -> Tensor:
        """Return what is given."""
        return features


class PooledWaveEncoder(PooledEncoder):
    """HuBERT, wav2vec 2.0 or WavLM, whose convolutions read samples."""

    def __init__(self, encoder: PreTrainedModel, all_layers: bool) -> None:
        super().__init__(encoder, all_layers)
        self.convolutions = self.encoder.feature_extractor
        self.encoder.feature_extractor = Passed()
        if all_layers:
            self.encoder.config.layerdrop = 0.0  # a layer that was skipped has no states to weigh

    def top(self) -> list[nn.Module]:
        """Return the transformer's layers, the lowest first."""
        return list(self.encoder.encoder.layers)

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
        """Return the convolutions' features [frames, width] of each clip, computed on nothing but itself."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, length in enumerate(lengths):
            by_length[length].append(row)
        features: dict[int, Tensor] = {}
        for length, rows in by_length.items():
            for row, feature in zip(rows, self.convolutions(input_values[rows, :length]), strict=True):
                features[row] = feature.transpose(0, 1)
        return [features[row] for row in range(len(lengths))]


class PooledWhisper(PooledEncoder):
    """Whisper's encoder at a clip's true length; a clip of more than its positions is heard in equal stretches."""

    def __init__(self, encoder: PreTrainedModel, all_layers: bool) -> None:
        super().__init__(encoder, all_layers)
        self.convolutions = nn.ModuleList([self.encoder.conv1, self.encoder.conv2])
        # Held under one name only, so that every tensor is stored once.
        del self.encoder.conv1, self.encoder.conv2
        if all_layers:
            self.encoder.layerdrop = 0.0

    def top(self) -> list[nn.Module]:
        """Return the transformer's layers, the lowest first."""
        return list(self.encoder.layers)

    def forward(self, input_values: Tensor, lengths: Sequence[int]) -> Tensor:
        """Map samples [batch, n] and each clip's real length to means over time [batch, layers, width]."""
        longest = self.encoder.config.max_source_positions * HOP_SAMPLES
        pieces, owners = [], []
        for row, length in enumerate(lengths):
            clip = functional.pad(input_values[row, :length], (0, max(0, MIN_SAMPLES - length)))
            stretches = clip.tensor_split(-(-len(clip) // longest))
            pieces += [self.convolve(stretch) for stretch in stretches]
            owners += [row] * len(stretches)
        mask = _mask([len(piece) for piece in pieces], input_values.device)
        states = self.transform(pad_sequence(pieces, batch_first=True), mask)
        real = mask.to(states[0].dtype)[..., None]
        sums = torch.stack([(layer * real).sum(dim=1) for layer in states], dim=1)
        owner = torch.tensor(owners, device=sums.device)
        total = sums.new_zeros((len(lengths), *sums.shape[1:])).index_add(0, owner, sums)
        counts = sums.new_zeros(len(lengths)).index_add(0, owner, real.sum(dim=(1, 2)))
        return total / counts[:, None, None]

    def convolve(self, samples: Tensor) -> Tensor:
        """Map one stretch's samples [n] to what enters the first layer, positions added: [positions, width]."""
        from whisper.audio import log_mel_spectrogram

        mel = log_mel_spectrogram(samples.float(), self.encoder.config.num_mel_bins)
        features = mel[None].to(self.convolutions[0].weight.dtype)  # type: ignore[index]
        for convolution in self.convolutions:  # type: ignore[attr-defined]
            features = functional.gelu(convolution(features))
        features = features[0].transpose(0, 1)
        return features + self.encoder.embed_positions.weight[: len(features)]

    def transform(self, hidden: Tensor, mask: Tensor) -> list[Tensor]:
        """Return the states [batch, positions, width] of every layer, or of the last alone.

        transformers' own forward insists on 30 s and takes no mask, so its layers are called here one by one.
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
    """A BERT-like encoder behind a mean over its tokens; a row without any token is a zero vector."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder: Any = encoder

    def top(self) -> list[nn.Module]:
        """Return the transformer's layers, the lowest first."""
        count = self.encoder.config.num_hidden_layers
        lists: Iterable[nn.Module] = (part for part in self.encoder.modules() if isinstance(part, nn.ModuleList))
        return next((list(part.children()) for part in lists if len(list(part.children())) == count), [])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map tokens and their mask, each [batch, tokens], to means over the real ones: [batch, width]."""
        said = attention_mask.any(dim=1)
        if not bool(said.any()):
            parameter = next(self.encoder.parameters())
            return parameter.new_zeros((len(input_ids), self.encoder.config.hidden_size))
        mask = attention_mask[said]
        states = self.encoder(input_ids=input_ids[said], attention_mask=mask).last_hidden_state
        means = masked_mean(states, mask)
        return means.new_zeros((len(input_ids), means.shape[1])).masked_scatter(said[:, None], means)


class Standardisation(nn.Module):
    """Centres and scales pooled states by what they were in training; a row of zeros, which is no words, stays one."""

    mean: Tensor
    scale: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def learn(self, states: Tensor) -> None:
        """Take mean and deviation of states [n, *shape] that are not zero."""
        some = states[states.flatten(1).any(dim=1)]
        if len(some):
            self.mean.copy_(some.mean(dim=0))
            self.scale.copy_(1 / some.std(dim=0, correction=0).clamp(min=1e-5))

    def forward(self, states: Tensor) -> Tensor:
        """Map states [batch, *shape] to standardised ones."""
        given = states.flatten(1).any(dim=1).view(-1, *[1] * (states.dim() - 1))
        return (states - self.mean) * self.scale * given


def _mask(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return bool [batch, longest]: which positions are real."""
    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
