"""Fit models/overlap, which finds overlapped speech: `SER_DATA=CORPORA python -m tools.fit_overlap`.

It learns from built conversations of the speakers that `tools.bundle_speaker_encoder` fits its projection to, in rooms,
with noise and over several channels. Their spectrograms and every epoch are kept in the cache (SER_CACHE), from which a
stopped fit goes on. It takes about twenty minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from benchmarks.conversations import MEETING, Clips, Scene, build_conversation, draw_speakers, read_clips
from ser_engine.audio.quality import normalize_level
from ser_engine.data.degrade import CHANNELS
from ser_engine.errors import SerError
from ser_engine.io import atomic_write, write_arrays, write_text
from ser_engine.models.overlap_detector import OverlapDetector
from ser_engine.models.overlap_onnx import BANDS, CHUNK, FRAME_S, HOP, ID, SEVERAL, STRIDE, WINDOW
from ser_engine.models.store import TENSORS, write_config, write_tensors
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import Turn
from ser_engine.types import SAMPLE_RATE
from tools.bundle_speaker_encoder import FITTED

CONVERSATIONS, CHECKED = 540, 50
"""Conversations of the fitted and of the tuning speakers."""
EPOCHS, BATCH, RATE, DECAY, SEED = 12, 16, 2e-3, 1e-4, 0
# What the scenes of the conversations are drawn from.
OVERLAP, MOST_OVERLAP_S, NOISE_DB = (0.2, 0.8), (1.0, 4.0), (-65.0, -38.0)
ROOMS, ROOM_S, CHANNELED = 0.5, (0.15, 0.9), 0.5
CHUNK_FRAMES = CHUNK // HOP
# Bands and frames that are hidden from a chunk, at most (SpecAugment).
HIDDEN_BANDS, HIDDEN_FRAMES = 10, 40
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)

Example = tuple[NDArray[np.float16], NDArray[np.uint8]]


def main() -> int:
    """Fit the detector and write it; return 2 if that is not possible."""
    settings = Settings.from_env()
    torch.set_num_threads(settings.threads or 1)
    torch.set_flush_denormal(True)
    try:
        fit(settings)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def fit(settings: Settings) -> None:
    """Write models/overlap, fitted to the corpora `FITTED` in `settings.data`; raise CorpusError if one is missing."""
    torch.manual_seed(SEED)
    detector = OverlapDetector()
    detector.filters.copy_(mel_filters())
    folder = settings.cache / ID
    fitted = list(read_examples(detector, "fit", CONVERSATIONS, folder, settings))
    checked = list(read_examples(detector, "tune", CHECKED, folder, settings))
    train(detector, fitted, folder / "state.pt")
    figures = check(detector.eval(), checked)
    target = settings.models_dir / ID
    checksum = write_tensors(target, {name: _store(tensor) for name, tensor in detector.state_dict().items()})
    source = {"corpora": list(FITTED), "conversations": CONVERSATIONS, "epochs": EPOCHS, "seed": SEED}
    write_config(target, {"architecture": "overlap-cnn", "fitted": source, "weights": {TENSORS: checksum}})
    write_text(target / "README.md", card())
    for threshold, (precision, recall) in figures.items():
        print(f"from {threshold}: precision {precision:.1%}, recall {recall:.1%}")


def mel_filters() -> Tensor:
    """Return the filters of the spectrogram, as librosa's defaults are."""
    from librosa.filters import mel

    return torch.from_numpy(mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=BANDS))


def read_examples(
    detector: OverlapDetector, purpose: str, count: int, folder: Path, settings: Settings
) -> Iterator[Example]:
    """Yield spectrograms [BANDS, frames] of built conversations and the class of each frame [frames / STRIDE]."""
    clips: Clips = {}
    for number in tqdm(range(count), desc=purpose, mininterval=30):
        file = folder / f"{purpose}-{number}.npz"
        if not file.exists():
            clips = clips or read_clips(FITTED, purpose, settings)
            mel, classes = build_example(detector, clips, number, settings)
            write_arrays(file, mel=mel, classes=classes)
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays["mel"], arrays["classes"]


def build_example(detector: OverlapDetector, clips: Clips, number: int, settings: Settings) -> Example:
    """Return one example; the same number gives the same one."""
    rng = np.random.default_rng([SEED, number])
    names = draw_speakers(clips, rng, int(rng.integers(2, 5)), bool(rng.random() < 0.6), bool(rng.random() < 0.5))
    conversation = build_conversation(clips, rng, names, settings, draw_scene(rng))
    samples = conversation.samples
    if rng.random() < CHANNELED:
        coded = CHANNELS[rng.integers(len(CHANNELS))](samples, rng)[: len(samples)]
        samples = np.pad(coded, (0, len(samples) - len(coded)))
    mel = detector.mel(torch.from_numpy(normalize_level(np.asarray(samples, np.float32)))[None])[0]
    length = mel.shape[1] // STRIDE * STRIDE
    return mel[:, :length].numpy().astype(np.float16), count_speakers(conversation.turns, length // STRIDE)


def draw_scene(rng: np.random.Generator) -> Scene:
    """Return a scene of those that the detector has to know."""
    return replace(
        MEETING,
        pause_s=(0.0, rng.uniform(0.2, 1.5)),
        overlap=rng.uniform(*OVERLAP),
        overlap_s=(0.2, rng.uniform(*MOST_OVERLAP_S)),
        room_s=ROOM_S if rng.random() < ROOMS else None,
        noise_db=NOISE_DB,
    )


def count_speakers(turns: Sequence[Turn], frames: int) -> NDArray[np.uint8]:
    """Return how many speak in each frame, 2 for more than two."""
    counts = np.zeros(frames, int)
    for turn in turns:
        counts[round(turn.start / FRAME_S) : round(turn.end / FRAME_S)] += 1
    return np.minimum(counts, SEVERAL).astype(np.uint8)


def train(detector: OverlapDetector, examples: Sequence[Example], state: Path) -> None:
    """Train the detector; after every epoch, its state is written to a file, from which a stopped training goes on."""
    optimizer = torch.optim.AdamW(detector.parameters(), RATE, weight_decay=DECAY)
    batches = sum(classes.size for _, classes in examples) * STRIDE // CHUNK_FRAMES // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * batches)
    parts, begun = {"detector": detector, "optimizer": optimizer, "schedule": schedule}, 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        begun = int(saved.pop("epochs"))
        for name, part in saved.items():
            parts[name].load_state_dict(part)
    for epoch in range(begun, EPOCHS):
        rng = np.random.default_rng([SEED, epoch])
        detector.train()
        losses = []
        for _ in range(batches):
            mel, classes = draw_batch(examples, rng)
            loss = torch.nn.functional.cross_entropy(detector(mel), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {np.mean(losses):.4f}", flush=True)
        with atomic_write(state) as part:
            torch.save({name: each.state_dict() for name, each in parts.items()} | {"epochs": epoch + 1}, part)


def draw_batch(examples: Sequence[Example], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return chunks of examples, with some bands and frames hidden, and the classes of their frames."""
    mels, classes = [], []
    for row in rng.integers(len(examples), size=BATCH):
        mel, own = examples[row]
        first = int(rng.integers((mel.shape[1] - CHUNK_FRAMES) // STRIDE)) * STRIDE
        chunk = mel[:, first : first + CHUNK_FRAMES].astype(np.float32)
        band, frame = rng.integers(BANDS - HIDDEN_BANDS), rng.integers(CHUNK_FRAMES - HIDDEN_FRAMES)
        mean = chunk.mean()
        chunk[band : band + rng.integers(HIDDEN_BANDS + 1)] = mean
        chunk[:, frame : frame + rng.integers(HIDDEN_FRAMES + 1)] = mean
        mels.append(chunk)
        classes.append(own[first // STRIDE : (first + CHUNK_FRAMES) // STRIDE].astype(np.int64))
    return torch.from_numpy(np.stack(mels)), torch.from_numpy(np.stack(classes))


def check(detector: OverlapDetector, examples: Sequence[Example]) -> dict[float, tuple[float, float]]:
    """Return the precision and the recall of overlapped frames, by the threshold of their probability."""
    found, true = [], []
    for mel, classes in examples:
        for first in range(0, mel.shape[1] - CHUNK_FRAMES, CHUNK_FRAMES):
            chunk = torch.from_numpy(mel[None, :, first : first + CHUNK_FRAMES].astype(np.float32))
            with torch.inference_mode():
                found.append(detector(chunk).softmax(dim=1)[0, SEVERAL].numpy())
            true.append(classes[first // STRIDE : (first + CHUNK_FRAMES) // STRIDE] == SEVERAL)
    probabilities, overlapped = np.concatenate(found), np.concatenate(true)
    figures = {}
    for threshold in THRESHOLDS:
        marked = probabilities >= threshold
        both = (marked & overlapped).sum()
        figures[threshold] = (both / max(1, marked.sum()), both / overlapped.sum())
    return figures


def _store(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def card() -> str:
    """Return the model's card."""
    return f"""---
license: mit
pipeline_tag: voice-activity-detection
---

# Overlapped speech

Says for every {1000 * FRAME_S:.0f} ms whether nobody, one or several people speak; `ser_engine.speakers` marks the
parts in which several do, and does not score them. Seven convolutions over a log-mel spectrogram (1.3 s of it on either
side), in float16.

It was fitted to {CONVERSATIONS} minutes of conversations, built from clips of those speakers of CREMA-D (ODbL),
LibriSpeech (CC BY 4.0) and speechocean762 (free for any use) to whom the projection of `ge2e` was fitted: two to four
voices in simulated rooms, with noise, through telephones and codecs, half of whose turns begin before the last has
ended. Precision and recall on other speakers are measured by `python -m benchmarks.bench speakers`
(results/bench.json). Real conversations differ: people who interrupt raise their voices, laugh and stop, and much of
it is missed.

All of these corpora allow commercial use. Whoever publishes this model names CREMA-D (Cao et al., 2014, ODbL) as a
source, LibriSpeech's authors (Panayotov et al., 2015) with a link to CC BY 4.0, and cites speechocean762 (Zhang et al.,
2021).

Made by

    SER_DATA=CORPORA python -m tools.fit_overlap
"""


if __name__ == "__main__":
    sys.exit(main())
