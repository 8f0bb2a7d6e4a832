"""What is computed of a corpus once and kept on disk, by what the recording and the pipeline are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from ser_engine.data.degrade import digest, worsen
from ser_engine.errors import NoSpeech
from ser_engine.features.encoder import MAX_SAMPLES, STATISTICS, Encoding, compute_lower_states, encode_audio
from ser_engine.settings import Settings

if TYPE_CHECKING:
    from whisper.model import AudioEncoder

PIPELINE = "2"
"""To be raised whenever decoding, cleaning or the encodings change, so that nothing stale is read."""

LAYERS = 8
"""Of Whisper-base: what enters the first of six blocks, what leaves each, and the last of these normalised."""

HEARD = ("noise_reduction", "min_speech_s")
"""Settings that decide what is heard of a recording."""


def encoder_outputs(
    paths: Sequence[Path],
    settings: Settings,
    view: int = 0,
    workers: int = 0,
    condition: str = "",
    talkers: Sequence[Path] = (),
) -> list[Encoding | None]:
    """Return the encoding, in float16, of each recording, or None where no speech was found in it.

    View 0 is the recording as the application hears it; every further view is another perturbation of its speed. Under
    a condition of `conditions.TITLES` it is heard worse; babble is made of the recordings `talkers`.

    What is in `settings.cache` is read; the rest is computed by `workers` processes (0: one a core) with a progress bar
    and written as it is done, so that a run that was stopped goes on where it was.
    """
    files = _computed("encodings", _encoding, paths, settings, view, workers, condition, talkers)
    return [_unpacked(np.load(file)) for file in tqdm(files, desc="reading", leave=False)]


def lower_outputs(
    paths: Sequence[Path], settings: Settings, workers: int = 0, condition: str = "", talkers: Sequence[Path] = ()
) -> list[NDArray[np.float16] | None]:
    """Return `lower_states`, float16 [t, width], of at most the first 30 s of each recording.

    None where no speech was found in it. Conditions, workers and what is kept are as of `encoder_outputs`.
    """
    files = _computed("lower-states", _lower, paths, settings, 0, workers, condition, talkers)
    found = [np.load(file) for file in tqdm(files, desc="reading", leave=False)]
    return [states if states.size else None for states in found]


def _computed(
    kind: str,
    compute: Callable[[AudioEncoder, NDArray[np.float32]], NDArray[np.float16]],
    paths: Sequence[Path],
    settings: Settings,
    view: int,
    workers: int,
    condition: str,
    talkers: Sequence[Path],
) -> list[Path]:
    """Return the files, in a folder of this kind, of what is computed of the encoder and a recording's samples."""
    from ser_engine.models.store import read_config

    settings = replace(settings, whisper="base")  # whatever size the words are transcribed with
    checksums = read_config(settings.models_dir / "whisper-base")["weights"]
    # What is not the default changes what is heard; the defaults go without saying.
    heard = {name: getattr(settings, name) for name in HEARD if getattr(settings, name) != getattr(Settings(), name)}
    version = hashlib.sha256(f"{PIPELINE} {checksums}{heard or ''}".encode()).hexdigest()
    folder = settings.cache / f"whisper-base-{kind}-{version[:12]}"
    listen = partial(
        _listen, compute=compute, settings=settings, view=view, condition=condition, talkers=talkers, folder=folder
    )
    suffix = (f"-{view}" if view else "") + (f"-{digest(condition, talkers)}" if condition else "")
    return compute_once(paths, folder, listen, workers, condition or kind, suffix)


def _listen(
    data: bytes,
    compute: Callable[[AudioEncoder, NDArray[np.float32]], NDArray[np.float16]],
    settings: Settings,
    view: int,
    condition: str,
    talkers: Sequence[Path],
    folder: Path,
) -> NDArray[np.float16]:
    """Return what is computed of one recording; an empty array for no speech."""
    import torch

    from ser_engine.audio.clean import clean_speech
    from ser_engine.audio.decode import load_audio
    from ser_engine.data.augment import perturb_speed
    from ser_engine.models.whisper import shared_whisper

    torch.set_flush_denormal(True)
    encoder = shared_whisper(settings).encoder
    name = hashlib.sha256(data).hexdigest()
    seed = int(name[:12], 16)
    try:
        waveform = load_audio(data, settings)
        if condition:
            worse = worsen(waveform, condition, talkers, settings, seed)
            plain = folder / f"{name}.npy"
            if np.array_equal(worse.samples, waveform.samples) and plain.exists():  # no longer than a crop
                kept: NDArray[np.float16] = np.load(plain)
                return kept
            waveform = worse
        samples = clean_speech(waveform, settings).samples
    except NoSpeech:
        return np.zeros(0, np.float16)
    if view:
        samples = perturb_speed(samples, np.random.default_rng([view, seed]))
    return compute(encoder, samples)


def _encoding(encoder: AudioEncoder, samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return the encoding of one recording as one array, see `_packed`."""
    return _packed(encode_audio(encoder, samples[None])[0])


def _lower(encoder: AudioEncoder, samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return what leaves the lower blocks, [t, width], of one recording."""
    return compute_lower_states(encoder, samples[None, :MAX_SAMPLES])[0].numpy().astype(np.float16)


def _packed(encoding: Encoding) -> NDArray[np.float16]:
    """Return float16 [(layers + 2) · 2 + t, width]: the statistics' rows, then the frames."""
    rows = encoding.statistics.reshape(-1, encoding.frames.shape[1])
    return np.concatenate([rows, encoding.frames]).astype(np.float16)


def _unpacked(array: NDArray[np.float16]) -> Encoding | None:
    if not array.size:
        return None
    rows = LAYERS * len(STATISTICS)
    return Encoding(array[:rows].reshape(LAYERS, len(STATISTICS), -1), array[rows:])


def compute_once(
    paths: Sequence[Path],
    folder: Path,
    compute: Callable[[bytes], NDArray[Any]],
    workers: int = 0,
    desc: str = "preparing",
    suffix: str = "",
) -> list[Path]:
    """Return for each recording the .npy file in `folder` of what `compute` makes of its bytes.

    What is there, by the recording's sha256 and the suffix, is not made again; the rest is made by `workers` processes
    of one thread each (0: one a core), with a progress bar, and written as it is done, so that a run that was stopped
    goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workers = min(workers or os.cpu_count() or 1, len(paths)) or 1
    once = partial(_once, folder=folder, compute=compute, suffix=suffix)
    with ProcessPoolExecutor(workers, initializer=_single_thread) as pool:
        return list(tqdm(pool.map(once, paths, chunksize=8), total=len(paths), desc=desc, unit="clip"))


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _once(path: Path, folder: Path, compute: Callable[[bytes], NDArray[Any]], suffix: str) -> Path:
    data = path.read_bytes()
    target = folder / f"{hashlib.sha256(data).hexdigest()}{suffix}.npy"
    if not target.exists():
        keep(target, compute(data))
    return target


def keep(target: Path, array: NDArray[Any]) -> None:
    """Write a .npy file as `replacing` does."""
    with replacing(target) as beside, beside.open("wb") as file:
        np.save(file, array)


def keep_named(target: Path, **arrays: ArrayLike) -> None:
    """Write a compressed .npz file as `replacing` does."""
    with replacing(target) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield the path of a file beside `target`, which is renamed when it was written.

    So a process that is killed leaves no half file. What lies beside is named after the process: two of them may have
    the same recording under two names.
    """
    beside = target.with_suffix(f".{os.getpid()}.part")
    yield beside
    beside.replace(target)
