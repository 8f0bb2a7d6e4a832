"""Pooled states of a frozen speech encoder, computed once and kept on disk by what is heard and by whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.data.cache import keep
from ser_engine.data.preprocess import samples_of
from ser_engine.models.speech_text import SpeechTextForSequenceClassification, SpeechTextProcessor, speech_states
from ser_engine.settings import Settings

PIPELINE = "1"
"""To be raised whenever an encoder or the pooling changes in its code, so that nothing stale is read."""
TOGETHER = 64
"""Clips that are heard, and then kept, at once."""


def pooled_speech(
    network: SpeechTextForSequenceClassification,
    processor: SpeechTextProcessor,
    files: Sequence[Path],
    settings: Settings,
) -> NDArray[np.float16]:
    """Return the states of each file that `heard` made, pooled over time: float16 [n, layers, width].

    What is in `settings.cache` is read; the rest is computed on all threads, or a GPU where there is one, with a
    progress bar, and written as it is done, so that a run that was stopped goes on where it was.
    """
    config = network.config
    identity = json.dumps([PIPELINE, config.speech_source, config.layers != "last"], sort_keys=True)
    folder = settings.cache / f"pooled-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    targets = [folder / file.parent.name / file.name for file in files]
    missing = [number for number, target in enumerate(targets) if not target.exists()]
    for place in {target.parent for target in targets}:
        place.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(missing), desc="speech encoder", unit="clip", disable=not missing) as bar:
        for first in range(0, len(missing), TOGETHER):
            some = missing[first : first + TOGETHER]
            states = speech_states(network, processor, [samples_of(files[number]) for number in some])
            assert states is not None
            for number, state in zip(some, states.numpy().astype(np.float16), strict=True):
                keep(targets[number], state)
            bar.update(len(some))
    return np.stack([np.load(target) for target in targets])
