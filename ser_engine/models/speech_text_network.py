"""Sharma's network (2023, section III.D.2), and encoders of speech or text alone as the same without a part.

The last hidden states of a speech encoder and of a text encoder, each averaged over real positions, dropout,
concatenated, one linear classifier. A clip without words (or audio) has a zero vector there, in training (text
dropout) as in inference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.adapters import adapt
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import UNREADABLE, encoder_from_config, load_encoder, quiet
from ser_engine.models.hub_files import find_hub_model
from ser_engine.models.pooled_encoders import (
    PooledTextEncoder,
    Standardization,
    pooled_encoder,
    transformer_layers,
)
from ser_engine.models.speech_text_config import ARCHITECTURE, WHOLE, SpeechTextConfig
from ser_engine.models.store import TENSORS, read_config, read_tensors, verify, write_config, write_tensors
from ser_engine.settings import Settings


class SpeechTextForSequenceClassification(PreTrainedModel):
    """Speech encoder, text encoder (either may be left out), pooling, dropout, classifier."""

    config_class = SpeechTextConfig
    main_input_name = "input_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: list[str] = []  # noqa: RUF012
    # forward() averages its loss over the batch, so the Trainer handles accumulation.
    accepts_loss_kwargs = False

    def __init__(
        self,
        config: SpeechTextConfig,
        speech_encoder: PreTrainedModel | None = None,
        text_encoder: PreTrainedModel | None = None,
    ) -> None:
        """Build the network around loaded encoders, or around random ones of the config's shapes."""
        super().__init__(config)
        speech_config: Any = config.speech_config
        text_config: Any = config.text_config
        if speech_config is None and text_config is None:
            raise InvalidSettings("A network needs an encoder of speech, of text, or both.")
        self.speech = self.text = None
        widths = []
        if speech_config is not None:
            encoder = speech_encoder or encoder_from_config(speech_config)
            self.speech = pooled_encoder(encoder, config.layers != "last")
            widths.append(encoder.config.hidden_size * (self.speech.layers if config.layers == "all" else 1))
            if config.layers == "weighted":
                self.layer_logits = nn.Parameter(torch.zeros(self.speech.layers))
            if config.standardized:
                self.speech_standard = Standardization(self.speech.layers, encoder.config.hidden_size)
        if text_config is not None:
            self.text = PooledTextEncoder(text_encoder or encoder_from_config(text_config))
            widths.append(self.text.encoder.config.hidden_size)
            if config.standardized:
                self.text_standard = Standardization(widths[-1])
        self.widths, labels = widths, len(config.emotions)
        self.dropout = nn.Dropout(config.head_dropout)
        if config.head == "linear":
            self.classifier: nn.Module = nn.Linear(sum(widths), labels)
        else:
            self.classifier = nn.Sequential(
                nn.Linear(sum(widths), config.hidden),
                nn.ReLU(),
                nn.Dropout(config.head_dropout),
                nn.Linear(config.hidden, labels),
            )
        self.post_init()
        if config.lora is not None:  # after initialization, since adapters start without effect
            for part in self._encoders():
                adapt(part.encoder, config.lora)
        self.freeze(config.freezing)

    # --- Inference --------------------------------------------------------------------------------------------------

    def forward(
        self,
        input_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        text_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        speech_states: Tensor | None = None,
        text_states: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Return logits [batch, labels], and the loss where labels are given.

        Parameters
        ----------
        input_values, attention_mask : padded samples at 16 kHz and which of them are real, both [batch, n]
        input_ids, text_attention_mask : padded tokens and which of them are real, both [batch, tokens]
        labels : classes int [batch], or shares of each class float [batch, labels]
        speech_states, text_states : earlier results of `encode`, instead of samples and tokens
        """
        if speech_states is None and text_states is None:
            speech_states, text_states = self.encode(input_values, attention_mask, input_ids, text_attention_mask)
        logits = self.classify(speech_states, text_states)
        loss = None if labels is None else functional.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def encode(
        self,
        input_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        text_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return pooled states of speech [batch, layers, width] and of text [batch, width]; None without inputs.

        Layers is 1, or all where their weights are learned. A row whose tokens are all masked is a zero vector.
        """
        frozen = self.config.freezing == "head" and self.config.lora is None
        with torch.no_grad() if frozen else nullcontext():
            speech = text = None
            if self.speech is not None and input_values is not None:
                count = len(input_values)
                lengths = [input_values.shape[1]] * count if attention_mask is None else attention_mask.sum(1).tolist()
                speech = self.speech(input_values, lengths)
            if self.text is not None and input_ids is not None:
                mask = torch.ones_like(input_ids) if text_attention_mask is None else text_attention_mask
                text = self.text(input_ids, mask)
        return speech, text

    def classify(self, speech_states: Tensor | None, text_states: Tensor | None) -> Tensor:
        """Map pooled states to logits [batch, labels]; None counts as left out: a zero vector."""
        given = next((states for states in (speech_states, text_states) if states is not None), None)
        if given is None:
            raise ValueError("Neither speech nor text is given.")
        parts = []
        if self.speech is not None:
            zeros = given.new_zeros(len(given), self.widths[0])
            parts.append(zeros if speech_states is None else self._mix_layers(speech_states))
        if self.text is not None:
            text = given.new_zeros(len(given), self.widths[-1]) if text_states is None else text_states
            parts.append(self.text_standard(text) if self.config.standardized else text)
        parts = [self.dropout(part) for part in parts]
        if self.training and len(parts) == 2:
            parts = self._leave_out(parts)
        logits: torch.Tensor = self.classifier(torch.cat(parts, dim=1))
        return logits

    def fit_standardization(self, speech_states: Tensor | None, text_states: Tensor | None) -> None:
        """Fit the standardization to the training clips' states, for a network that is `standardized`."""
        if speech_states is not None:
            self.speech_standard.fit(speech_states)
        if text_states is not None:
            self.text_standard.fit(text_states)

    def _mix_layers(self, states: Tensor) -> Tensor:
        """Map pooled states of all layers [batch, layers, width] to one vector a clip."""
        if self.config.standardized:
            states = self.speech_standard(states)
        if self.config.layers == "all":
            return states.flatten(1)
        if self.config.layers == "last":
            return states[:, -1]
        return torch.einsum("blw,l->bw", states, self.layer_logits.softmax(dim=0))

    def _leave_out(self, parts: list[Tensor]) -> list[Tensor]:
        """Leave out the words of some clips and the audio of others, but never both of one clip."""
        chance = torch.rand(len(parts[0]), 1, device=parts[0].device)
        text = chance < self.config.text_dropout
        speech = chance > 1 - self.config.speech_dropout
        both = text & speech  # only where the two chances sum to more than one
        return [parts[0].masked_fill(speech & ~both, 0), parts[1].masked_fill(text, 0)]

    # --- Training ---------------------------------------------------------------------------------------------------

    def freeze(self, freezing: str) -> None:
        """Set which parameters are trained: see `SpeechTextConfig`. Fine-tuned encoders are saved whole afterwards."""
        self.config.override({"freezing": freezing})
        if freezing != "head":
            self.config.stored = WHOLE
        for part in self._encoders():
            part.requires_grad_(freezing in ("partial", "entire"))
            if freezing.startswith("top-"):
                for layer in transformer_layers(part.encoder)[-int(freezing[4:]) :]:
                    layer.requires_grad_(True)
            for name, parameter in part.named_parameters():
                if "lora_" in name:
                    parameter.requires_grad_(True)
                if "embed_positions" in name:  # Whisper's are sines
                    parameter.requires_grad_(False)
        if self.speech is not None:
            convolutions: Any = self.speech.convolutions
            if freezing == "partial":
                convolutions.requires_grad_(False)
            elif freezing.startswith("convolutions-"):
                layers = list(getattr(convolutions, "conv_layers", convolutions))
                for layer in layers[-int(freezing.removeprefix("convolutions-")) :]:
                    layer.requires_grad_(True)
            if hasattr(convolutions, "_requires_grad"):
                # Transformers' convolutions require the gradient of the samples, for checkpointing.
                convolutions._requires_grad = freezing == "entire"
        # Avoids warnings about tensors that a training checkpoint lacks on purpose.
        self._keys_to_ignore_on_save = set(self.state_dict()) - set(self.stored_names())
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen encoders stay in evaluation mode, so that their states can be cached."""
        super().train(mode)
        if self.config.freezing == "head" and self.config.lora is None:
            for part in self._encoders():
                part.eval()
        return self

    def _encoders(self) -> list[Any]:
        return [part for part in (self.speech, self.text) if part is not None]

    # --- Construction and files -------------------------------------------------------------------------------------

    @classmethod
    def from_encoders(
        cls,
        labels: Sequence[str],
        speech: str | None,
        text: str | None,
        settings: Settings,
        seed: int = 0,
        speech_overrides: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Return a network of pre-trained encoders and a new head, in evaluation mode.

        Parameters
        ----------
        labels : emotions in the order of the logits
        speech, text : encoders as `EncoderReference.parse` reads them; None leaves that part out
        seed : of the head's initialization
        speech_overrides : entries of the speech encoder's own config (mask_time_prob, layerdrop)
        options : further entries of `SpeechTextConfig`

        Raise WeightsUnavailable or InvalidSettings as `load_encoder` does, or InvalidSettings for an invalid option.
        """
        names = [str(label) for label in labels]
        config = SpeechTextConfig(
            id2label=dict(enumerate(names)), label2id={name: number for number, name in enumerate(names)}
        ).override(options)  # raises before anything is loaded
        speech_encoder = text_encoder = None
        with torch.random.fork_rng(devices=[]):
            if speech:
                reference, shared = EncoderReference.parse(speech), config.freezing == "head"
                speech_encoder, pinned = load_encoder(reference, "speech", settings, speech_overrides, shared)
                config.speech_source, config.speech_config = asdict(pinned), speech_encoder.config
            if text:
                text_encoder, pinned = load_encoder(EncoderReference.parse(text), "text", settings)
                config.text_source, config.text_config = asdict(pinned), text_encoder.config
            torch.manual_seed(seed)
            network = cls(config, speech_encoder, text_encoder)
        network.train(False)
        return network

    def stored_names(self) -> list[str]:
        """Return the tensors that `save_pretrained` writes: those that no reference to an encoder restores."""
        names = list(self.state_dict())
        if self.config.stored == WHOLE:
            return names
        return [name for name in names if not name.startswith(("speech.", "text.")) or ".lora_" in name]

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        max_shard_size: Any = None,
    ) -> None:
        """Write config.json and model.safetensors with its checksum.

        Frozen encoders are stored as references, fine-tuned ones as tensors; `max_shard_size`, which Transformers'
        `push_to_hub` gives, is not used.
        """
        if not is_main_process:
            return
        folder, state = Path(save_directory), state_dict or self.state_dict()
        checksum = write_tensors(folder, {name: state[name] for name in self.stored_names()})
        self.config.architectures = [type(self).__name__]
        self.config.dtype = str(self.dtype).removeprefix("torch.")
        write_config(folder, json.loads(self.config.to_json_string()) | {"weights": {TENSORS: checksum}})

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, save_directory: str | os.PathLike[str], *, settings: Settings
    ) -> Self:
        """Read what `save_pretrained` wrote, in evaluation mode, with the encoders that it refers to.

        `save_directory` is a folder or an id of the hub, found as by `hub_files.find_hub_model`.

        Raise WeightsUnavailable if a file is missing or differs from its checksum, if an encoder is missing or is
        another, or if a tensor is missing, superfluous, or of another shape.
        """
        folder = find_hub_model(str(save_directory), settings)
        verify(folder)
        written = read_config(folder)
        if written.get("model_type") != ARCHITECTURE:
            raise WeightsUnavailable(f"{folder} holds no model of speech and text.")
        unfit = WeightsUnavailable(f"The config.json in {folder} does not fit its weights.")
        try:
            # Other entries belong to the card.
            known = {key: value for key, value in written.items() if key in SpeechTextConfig.entries() - {"model_type"}}
            config = SpeechTextConfig(**known)
        except (*UNREADABLE, InvalidSettings):
            raise unfit from None
        try:
            with torch.random.fork_rng(devices=[]):  # loading must not advance the random state
                if config.stored == WHOLE:
                    return cls._read_whole(folder, config)
                return cls._read_trained(folder, config, settings)
        except UNREADABLE as error:
            raise unfit from error

    @classmethod
    def _read_whole(cls, folder: Path, config: SpeechTextConfig) -> Self:
        """Read everything from one file with Transformers' loading, which holds the tensors in memory only once."""
        with quiet():
            loaded: Any = super().from_pretrained(
                folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        model: Self
        model, report = loaded
        if any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")):
            raise ValueError
        model.train(False)
        return model

    @classmethod
    def _read_trained(cls, folder: Path, config: SpeechTextConfig, settings: Settings) -> Self:
        """Read the encoders from their own places, and the trained tensors from the folder."""
        speech_encoder = text_encoder = None
        if config.speech_source:
            reference, shared = EncoderReference(**config.speech_source), config.freezing == "head"
            speech_encoder, _ = load_encoder(reference, "speech", settings, shared=shared)
        if config.text_source:
            text_encoder, _ = load_encoder(EncoderReference(**config.text_source), "text", settings)
        model = cls(config, speech_encoder, text_encoder)
        trained = read_tensors(folder)
        if set(trained) != set(model.stored_names()):
            raise ValueError
        model.load_state_dict(trained, strict=False)
        model.train(False)
        return model
