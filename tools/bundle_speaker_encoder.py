"""Build models/ge2e: the speaker encoder in Resemblyzer's package, and a projection of its states fitted to corpora."""

from __future__ import annotations

import argparse
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio
from ser_engine.audio.quality import normalize_level, rms
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.degrade import reverberate, simulate_room
from ser_engine.errors import NoSpeech, SerError, WeightsUnavailable
from ser_engine.io import write_text
from ser_engine.models.speaker_encoder import BANDS, BATCH, ID, STATES, WINDOW, SpeakerEncoder, build_encoder
from ser_engine.models.store import TENSORS, write_config, write_tensors
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import cut_parts, fill_part
from ser_engine.types import SAMPLE_RATE, Span

FITTED = ("cremad", "librispeech", "speechocean")
"""Corpora whose licenses permit any use of what is fitted to them."""
SEED, CLIPS = 0, 32
"""CLIPS is how many clips of each speaker the projection is fitted to."""
DIMENSIONS = 192
# Additive margin softmax (Wang et al., 2018, "Additive margin softmax for face verification").
EPOCHS, ROWS, RATE, DECAY, DROPOUT, SCALE, MARGIN = 20, 256, 1e-3, 1e-2, 0.3, 20.0, 0.2
# Half of the clips are also taken in a room and with noise; of each, some parts and a shorter one.
DEGRADED, ROOM_S, DIRECT_DB, SNR_DB = 0.5, (0.15, 0.9), (-6.0, 9.0), (5.0, 25.0)
EVERY, MOST, SHORT_S = 2, 14, (0.5, 1.4)

Samples = NDArray[np.float32]


def share(speaker: str) -> str:
    """Return "fit", "tune" or "test": what the clips of a speaker ("ravdess/07") may be used for."""
    number = zlib.crc32(speaker.encode()) % 4
    if speaker.split("/")[0] in FITTED:
        return ("fit", "fit", "tune", "test")[number]
    return ("tune", "test")[number % 2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the model and write its card; return 2 if that is not possible."""
    parser = argparse.ArgumentParser("python -m tools.bundle_speaker_encoder", description=__doc__)
    parser.add_argument("wheel", type=Path, help="wheel of Resemblyzer: pip download --no-deps Resemblyzer")
    options, settings = parser.parse_args(arguments), Settings.from_env()
    try:
        bundle(options.wheel, settings)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def bundle(wheel: Path, settings: Settings) -> None:
    """Write models/ge2e from a wheel of Resemblyzer and the corpora `FITTED` in `settings.data`.

    Raise WeightsUnavailable if the file is no such wheel, CorpusError if a corpus is missing.
    """
    tensors, license = read_wheel(wheel)
    states, speakers = read_states(build_encoder(tensors), settings)
    mean, projection = fit_projection(states, speakers)
    tensors |= {"mean": mean, "projection": projection}
    folder = settings.models_dir / ID
    checksum = write_tensors(folder, {name: tensor.half() for name, tensor in tensors.items()})
    write_text(folder / "LICENSE", license)
    fitted = {"corpora": list(FITTED), "speakers": len(set(speakers)), "parts": len(speakers), "seed": SEED}
    source = f"{wheel.name}, resemblyzer/pretrained.pt (Apache-2.0)"
    config = {"architecture": "ge2e-lstm", "source": source, "projection": fitted, "weights": {TENSORS: checksum}}
    write_config(folder, config)
    write_text(folder / "README.md", card(len(set(speakers)), len(speakers)))


def read_wheel(wheel: Path) -> tuple[dict[str, Tensor], str]:
    """Return the encoder's tensors, with a projection that changes nothing, and the license."""
    from librosa.filters import mel

    try:
        with zipfile.ZipFile(wheel) as archive:
            license = next(name for name in archive.namelist() if name.endswith(".dist-info/LICENSE"))
            with archive.open("resemblyzer/pretrained.pt") as file:
                state = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
            text = archive.read(license).decode()
    except (OSError, KeyError, StopIteration, zipfile.BadZipFile):
        raise WeightsUnavailable(f"{wheel} is no wheel of Resemblyzer.") from None
    tensors = {name: tensor for name, tensor in state.items() if name.startswith(("lstm.", "linear."))}
    filters = torch.from_numpy(mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=BANDS))
    return tensors | {"filters": filters, "mean": torch.zeros(STATES), "projection": torch.eye(STATES)}, text


def read_states(encoder: SpeakerEncoder, settings: Settings) -> tuple[Tensor, list[str]]:
    """Return the states [n, STATES] of parts of the clips that the projection is fitted to, and the speaker of each."""
    rng = np.random.default_rng(SEED)
    states: list[Tensor] = []
    speakers: list[str] = []
    parts: list[Samples] = []
    for clip in tqdm(choose(settings, rng), desc="clips", unit="clip"):
        for samples in load_copies(clip, settings, rng):
            own = cut_clip(samples, rng)
            parts += own
            speakers += [clip.speaker] * len(own)
        while len(parts) >= BATCH:
            states.append(encoder.states(torch.from_numpy(np.stack(parts[:BATCH]))))
            del parts[:BATCH]
    if parts:
        states.append(encoder.states(torch.from_numpy(np.stack(parts))))
    return torch.cat(states).clone(), speakers


def cut_clip(samples: Samples, rng: np.random.Generator) -> list[Samples]:
    """Return parts of a clip, float32 [PART] each, the last of which is a short one, repeated."""
    whole = Span(0.0, len(samples) / SAMPLE_RATE)
    start = rng.uniform(0.0, max(0.0, whole.end - SHORT_S[1]))
    short = Span(start, min(whole.end, start + rng.uniform(*SHORT_S)))
    return [fill_part(samples, span) for span in (*cut_parts(whole)[::EVERY][:MOST], short)]


def choose(settings: Settings, rng: np.random.Generator) -> list[Utterance]:
    """Return up to `CLIPS` clips of each speaker that the projection may be fitted to."""
    clips: dict[str, list[Utterance]] = {}
    for name in FITTED:
        for clip in registry.read_corpus(name, settings.data):
            if share(clip.speaker) == "fit":
                clips.setdefault(clip.speaker, []).append(clip)
    return [own[row] for own in clips.values() for row in rng.permutation(len(own))[:CLIPS]]


def load_copies(clip: Utterance, settings: Settings, rng: np.random.Generator) -> Iterator[Samples]:
    """Yield the speech of a clip and, for some clips, another copy in a room and with noise; none without speech."""
    try:
        samples = clean_speech(load_audio(clip.path, settings), settings).samples
    except NoSpeech:
        return
    yield samples
    if rng.random() < DEGRADED:
        room = simulate_room(rng.uniform(*ROOM_S), rng.uniform(*DIRECT_DB), SAMPLE_RATE, rng)
        level = rms(samples) * 10 ** (-rng.uniform(*SNR_DB) / 20)
        noise = level * rng.standard_normal(len(samples))
        yield normalize_level((reverberate(samples, room) + noise).astype(np.float32))


def fit_projection(states: Tensor, speakers: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return mean [STATES] and projection [STATES, DIMENSIONS] of states, after which the cosine separates speakers.

    The projection is learned together with a vector for each speaker. Every speaker counts alike, whatever the number
    of parts.
    """
    torch.manual_seed(SEED)
    names = sorted(set(speakers))
    owners = torch.tensor([names.index(speaker) for speaker in speakers])
    mean, deviation = states.mean(dim=0), states.std(dim=0) + 1e-4
    states = (states - mean) / deviation
    linear = torch.nn.Linear(states.shape[1], DIMENSIONS, bias=False)
    centers = torch.nn.Parameter(0.1 * torch.randn(len(names), DIMENSIONS))
    optimizer = torch.optim.AdamW([linear.weight, centers], RATE, weight_decay=DECAY)
    weights = 1 / torch.bincount(owners)[owners].float()
    for _ in range(EPOCHS):
        for rows in torch.multinomial(weights, len(owners), replacement=True).split(ROWS):
            dropped = torch.nn.functional.dropout(states[rows], DROPOUT)
            cosines = cosine(linear(dropped), centers) - MARGIN * torch.eye(len(names))[owners[rows]]
            loss = torch.nn.functional.cross_entropy(SCALE * cosines, owners[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    projection = linear.weight.detach().T / deviation[:, None]
    # Cosines do not depend on the lengths, which float16 has to hold.
    return mean, projection / projection.abs().max()


def cosine(vectors: Tensor, others: Tensor) -> Tensor:
    """Return the cosines [n, m] of vectors [n, width] and others [m, width]."""
    normalize = torch.nn.functional.normalize
    return normalize(vectors) @ normalize(others).T


def card(speakers: int, parts: int) -> str:
    """Return the model's card."""
    return f"""---
license: apache-2.0
pipeline_tag: voice-activity-detection
---

# GE2E speaker encoder

Turns 1.6 s of a voice into an embedding, by which `ser_engine.speakers` finds who speaks when. The encoder is
Resemblyzer's (Corentin Jemine, resemble.ai; Apache-2.0), after Wan et al., 2018, "Generalized end-to-end loss for
speaker verification": three LSTM layers of 256 units and a linear layer, taken unchanged from the package's
pretrained.pt without the optimizer's state, in float16, and the mel filters of its front end. The package itself is
no dependency, since it needs webrtcvad, which has no wheels.

`mean` and `projection` are ours: a projection of the last states of all layers and of the embedding to {DIMENSIONS}
dimensions, in which the emotions of one speaker differ less than they do in the embedding. It was learned with additive
margin softmax from {parts:,} parts of the speech of {speakers} speakers of CREMA-D (ODbL), LibriSpeech (CC BY 4.0) and
speechocean762, half of it also in simulated rooms and with noise. How well speakers other than these are separated is
measured by `python -m benchmarks.bench speakers` (results/bench.json).

Made by

    pip download --no-deps Resemblyzer
    SER_DATA=CORPORA python -m tools.bundle_speaker_encoder Resemblyzer-*.whl

It was trained on read and broadcast English. It says nothing about who a person is, only whether two parts of one
recording are likely to be of the same voice.
"""


if __name__ == "__main__":
    sys.exit(main())
