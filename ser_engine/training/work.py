"""The work of a training, counted without doing it: parameters, floating-point operations, memory, and timed parts.

Networks are built on torch's meta device, which has shapes and no numbers, so that no weights are needed. How fast this
machine computes is timed on one small training step.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_engine.settings import Settings, available_cores
from ser_engine.types import SAMPLE_RATE

Kind = Literal["attention", "convolution"]
BYTES = 4  # of a float32
ADAM = 2  # moments that the optimizer keeps of each trained parameter
PROGRAM = 700e6
"""Bytes of Python with torch and Transformers before there is a network."""
CLIP_S = 3.0
"""Seconds of a clip of acted speech, where none can be measured."""
MEASURED = 20
"""Clips whose length is measured."""


@dataclass(frozen=True)
class Work:
    """The work of an experiment, all folds together unless stated otherwise.

    Attributes
    ----------
    examples : training examples of a fold, copies included, on average
    steps : of the optimizer; 0 where there is none
    parameters, trained : of the network
    operations : floating-point operations of the network
    kind : of the step by which the machine's speed for these operations is timed
    seconds : of everything else on this machine, on all cores: decoding, features, fits
    memory : bytes at most
    """

    examples: int
    steps: int = 0
    parameters: int = 0
    trained: int = 0
    operations: float = 0.0
    kind: Kind = "attention"
    seconds: float = 0.0
    memory: float = PROGRAM

    @property
    def hours(self) -> float:
        """Hours on this machine."""
        return (self.seconds + (self.operations / speed(self.kind) if self.operations else 0.0)) / 3600


@dataclass(frozen=True)
class Count:
    """What one call of a network takes: parameters, operations, and bytes that are kept for its gradients."""

    parameters: int
    trained: int
    forward: float
    step: float
    kept: float


def count(make: Callable[[], Any], call: Callable[[Any], Any], trains: bool = True) -> Count:
    """Count what a network of torch takes; `make` builds it, and `call` returns its logits, both on the meta device.

    `step` is the operations of forward and backward together.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    kept: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[id(tensor)] = tensor.numel() * tensor.element_size()
            alive.append(tensor)  # so that no other takes its id
        return tensor

    alive: list[Any] = []
    with torch.device("meta"):
        network = make().eval()
        forward, step = FlopCounterMode(display=False), FlopCounterMode(display=False)
        with forward, torch.no_grad():
            call(network)
        trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
        if trains and trained:
            with step, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                call(network).sum().backward()
    parameters = sum(each.numel() for each in network.parameters())
    once = float(forward.get_total_flops())
    return Count(parameters, trained, once, float(step.get_total_flops()) or once, float(sum(kept.values())))


def network_memory(counted: Count) -> float:
    """Return the bytes of a network in training: weights, gradients, the optimizer's moments and what is kept."""
    return PROGRAM + BYTES * (counted.parameters + (1 + ADAM) * counted.trained) + counted.kept


@lru_cache
def speed(kind: Kind) -> float:
    """Return floating-point operations a second on all cores, as timed on one small training step."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if kind == "attention":
        network: nn.Module = nn.TransformerEncoderLayer(768, 12, 3072, dropout=0.0, batch_first=True)
        batch = torch.randn(2, 150, 768)
    else:
        network = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())
        batch = torch.randn(4, 3, 96, 96)
    counted = count(lambda: network.to("meta"), lambda network: network(batch.to("meta")))
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.02)
    fastest = float("inf")
    for _ in range(3):  # the first one allocates
        begun = time.process_time()  # of this program alone, whatever else the machine computes now
        network(batch).sum().backward()
        fastest = min(fastest, time.process_time() - begun)
    return counted.step / fastest * available_cores()


def clip_seconds(paths: Sequence[Path]) -> float:
    """Return the mean length of some of the recordings, in seconds, to a quarter."""
    import soundfile

    lengths = []
    for path in paths[:: max(1, len(paths) // MEASURED)]:
        try:
            if path.is_file():
                lengths.append(float(soundfile.info(path).duration))
        except (soundfile.SoundFileError, RuntimeError):  # of a format that only the decoder reads
            continue
    return round(4 * float(np.mean(lengths))) / 4 if lengths else CLIP_S


def preparation_seconds(
    clips: int,
    seconds: float,
    settings: Settings,
    preprocessing: str,
    recipe: str = "",
    extract: Callable[[NDArray[np.float32]], Any] = lambda samples: None,
) -> float:
    """Return the seconds that preprocessing, copies and features of clips take on all cores, timed on one of noise.

    `seconds` is the length of a clip, `recipe` a key of `augment.RECIPES`, and `extract` computes features of samples.
    """
    from ser_engine.audio.decode import encode_wav
    from ser_engine.data.augment import RECIPES, augment
    from ser_engine.data.preprocess import preprocess
    from ser_engine.errors import NoSpeech

    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
    data = io.BytesIO(encode_wav(noise, SAMPLE_RATE)).getvalue()
    for _ in range(2):  # the first one imports and compiles
        begun = time.process_time()
        try:
            samples = preprocess(data, preprocessing, settings)
        except NoSpeech:  # noise is none, and took as long
            samples = noise
        for copy in (samples, *(augment(item, samples, rng) for item in (RECIPES[recipe] if recipe else ()))):
            extract(copy)
        one = time.process_time() - begun
    return clips * one / available_cores()
