"""Convert samples and words to the input tensors of a network of speech and text."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer, FeatureExtractionMixin, PreTrainedTokenizerBase, Wav2Vec2FeatureExtractor

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import UNREADABLE, load_feature_extractor, load_tokenizer, quiet
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

# A tokenizer stores its padding and truncation as state, which two threads must not change at once. The lock is not in
# the processor, which is sent to other processes.
_TOKENIZING = threading.Lock()

EXTRACTOR_FILE, TOKENIZER_FILE = "preprocessor_config.json", "tokenizer_config.json"


class SpeechTextProcessor:
    """A speech encoder's feature extractor and a text encoder's tokenizer; either may be None."""

    def __init__(
        self, feature_extractor: FeatureExtractionMixin | None, tokenizer: PreTrainedTokenizerBase | None
    ) -> None:
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer

    def __call__(
        self, speech: Sequence[NDArray[np.float32]] | None = None, text: Sequence[str | None] | None = None
    ) -> dict[str, Tensor]:
        """Return `input_values` and `attention_mask` [batch, n], `input_ids` and `text_attention_mask` [batch, tokens].

        `speech` are float32 samples [n] at 16 kHz. A text that is None or empty has no real token at all. Inputs that
        are missing, or for which the network has no encoder, give no tensors.
        """
        inputs: dict[str, Tensor] = {}
        if speech is not None and self.feature_extractor is not None:
            padded = self.feature_extractor(  # type: ignore[operator]
                [np.asarray(clip, np.float32) for clip in speech],
                sampling_rate=SAMPLE_RATE,
                padding=True,
                return_attention_mask=True,
                return_tensors="pt",
            )
            inputs = {name: padded[name] for name in ("input_values", "attention_mask")}
        if text is not None and self.tokenizer is not None:
            words = [(each or "").strip() for each in text]
            with _TOKENIZING:
                tokens: Any = self.tokenizer(words, padding=True, truncation=True, return_tensors="pt")
            inputs["input_ids"], mask = tokens["input_ids"], tokens["attention_mask"]
            # Without words not even the special tokens count.
            mask[[row for row, each in enumerate(words) if not each]] = 0
            inputs["text_attention_mask"] = mask
        return inputs

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens; needs a tokenizer."""
        assert self.tokenizer is not None
        with _TOKENIZING:
            tokens: Any = self.tokenizer(list(texts), add_special_tokens=False, verbose=False) if texts else {}
        return [len(ids) for ids in tokens["input_ids"]] if texts else []

    @classmethod
    def from_encoders(cls, speech: str | None, text: str | None, settings: Settings) -> Self:
        """Return the processor of these encoders, named as in `SpeechTextForSequenceClassification.from_encoders`."""
        return cls(
            load_feature_extractor(EncoderReference.parse(speech), settings) if speech else None,
            load_tokenizer(EncoderReference.parse(text), settings) if text else None,
        )

    def save_pretrained(self, save_directory: str | os.PathLike[str], **_: Any) -> list[str]:
        """Write the files of both into a folder atomically; return their names."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        fast: Any = getattr(self.tokenizer, "backend_tokenizer", None)
        with TemporaryDirectory(dir=folder, prefix=".processor.") as part_folder, _TOKENIZING:
            if fast is not None:  # the padding of the last call is not stored
                fast.no_padding()
                fast.no_truncation()
            for part in (self.feature_extractor, self.tokenizer):
                if part is not None:
                    part.save_pretrained(part_folder)
            files = sorted(path for path in Path(part_folder).iterdir() if path.is_file())
            for file in files:
                file.chmod(0o644)
                file.replace(folder / file.name)
        return [file.name for file in files]

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what `save_pretrained` wrote; raises WeightsUnavailable if a file is damaged."""
        place = Path(folder)
        extractor = tokenizer = None
        try:
            with quiet():
                if (place / EXTRACTOR_FILE).is_file():
                    extractor = Wav2Vec2FeatureExtractor.from_pretrained(place, local_files_only=True)
                if (place / TOKENIZER_FILE).is_file():
                    tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
        except UNREADABLE:
            raise WeightsUnavailable(f"The feature extractor or the tokenizer in {place} cannot be read.") from None
        return cls(extractor, tokenizer)
