"""Whole files, parts of files, folders and signals as tables: the public functions of the package.

Each function returns a pandas frame indexed by (file, start, end) as in audformat, with one column for the probability
of each emotion and the columns "label" (the most probable emotion), "confidence" (its probability), "transcript" (None
where words are not transcribed) and "language" (Whisper's code of most of the speech; None without words). With
`speakers`, each of several speakers of a recording has a row of its own, which the columns "speaker" (its name, None
where there is only one) and "channel" (its own, from 1, missing where speakers share one) describe.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_engine.analyzer import Analyzer
from ser_engine.data.corpora.base import AUDIO_SUFFIXES
from ser_engine.errors import InvalidAudio, NotAudio, SerError
from ser_engine.settings import Settings
from ser_engine.types import Analysis, Speaker

if TYPE_CHECKING:
    import pandas as pd

    from ser_engine.audio.sound import Sound

Time = float | str | Any
"""Seconds, or anything that `pandas.Timedelta` takes."""

BATCH = 16
"""Recordings that are analyzed together, or fewer where they are not short."""

_FilePart = tuple[str | Path, Time | None, Time | None]  # and its start and end


def process_file(
    path: str | Path,
    *,
    start: Time | None = None,
    end: Time | None = None,
    transcribe: bool | None = None,
    channels: str | int | None = None,
    speakers: bool = False,
    analyzer: Analyzer | None = None,
) -> pd.DataFrame:
    """Analyze one file, or the part of it between `start` and `end`.

    Parameters
    ----------
    path : of the recording
    start, end : in seconds or as `pandas.Timedelta`; the file's own by default
    transcribe : whether to transcribe the words; as in the analyzer's settings by default
    channels : "auto", "mix", "split" (a speaker each) or the number of one; as in the analyzer's settings by default
    speakers : whether each of several speakers gets a row, with the columns "speaker" and "channel"
    analyzer : one shared analyzer on `Settings.from_env()` by default

    Raises
    ------
    SerError
        The file cannot be analyzed: see `Analyzer.analyze`.

    Examples
    --------
    >>> from ser_engine import process_file
    >>> table = process_file("tests/data/man_dogs.ogg")
    >>> table["transcript"].item()
    'Dogs are sitting by the door.'
    >>> table.index.names
    FrozenList(['file', 'start', 'end'])
    """
    options = _Options(transcribe, channels, speakers)
    return _process_parts([(path, start, end)], options, analyzer, "raise", False)


def process_files(
    files: Sequence[str | Path],
    starts: Sequence[Time | None] | None = None,
    ends: Sequence[Time | None] | None = None,
    *,
    transcribe: bool | None = None,
    channels: str | int | None = None,
    speakers: bool = False,
    analyzer: Analyzer | None = None,
    errors: Literal["raise", "warn"] = "warn",
    verbose: bool = False,
) -> pd.DataFrame:
    """Analyze several files, or parts of files; one row each, in their order.

    Parameters
    ----------
    files : paths of the recordings; a file may occur several times
    starts, ends : one of each for each file, in seconds or as `pandas.Timedelta`; None stands for the file's own
    transcribe, channels, speakers, analyzer : as in `process_file`
    errors : what happens to a file that cannot be analyzed: "warn" gives a UserWarning and a row without values (NaN
        and None), "raise" raises its error
    verbose : whether to show a progress bar

    Raises
    ------
    SerError
        A model is missing or a setting is wrong; with `errors="raise"`, also where a file cannot be analyzed.
    ValueError
        `starts` or `ends` differ from `files` in length.

    Examples
    --------
    >>> from ser_engine import process_files
    >>> file = "tests/data/man_dogs.ogg"
    >>> table = process_files([file, file], starts=[0, 0.5], ends=[1.5, None], transcribe=False)
    >>> table.index.get_level_values("start").total_seconds().tolist()
    [0.0, 0.5]
    >>> bool((table["confidence"] > 0).all())
    True
    """
    spans = list(zip(files, starts or [None] * len(files), ends or [None] * len(files), strict=True))
    return _process_parts(spans, _Options(transcribe, channels, speakers), analyzer, errors, verbose)


@dataclass(frozen=True)
class _Options:
    """What is done with each recording, as in `process_file`."""

    transcribe: bool | None
    channels: str | int | None
    speakers: bool


def _process_parts(
    spans: Sequence[_FilePart],
    options: _Options,
    analyzer: Analyzer | None,
    errors: Literal["raise", "warn"],
    verbose: bool,
    skip: bool = False,
) -> pd.DataFrame:
    """Return the table of `process_files`; `skip` leaves out files that are no recordings."""
    from tqdm import tqdm

    analyzer = analyzer or _shared_analyzer(Settings.from_env())
    rows: list[Row] = []
    with tqdm(total=len(spans), unit="file", disable=not verbose) as bar:
        for row in _analyze_parts(spans, analyzer, options):
            bar.update()
            file, *_, result = row
            if isinstance(result, SerError):
                if skip and is_other_file(file, result):
                    continue
                if errors == "raise":
                    raise result
                warnings.warn(f"{file}: {result}", stacklevel=2)
            rows.append(row)
    return _table(rows, analyzer.model.labels, options.speakers)


def process_folder(
    folder: str | Path,
    *,
    pattern: str = "**/*",
    transcribe: bool | None = None,
    channels: str | int | None = None,
    speakers: bool = False,
    analyzer: Analyzer | None = None,
    errors: Literal["raise", "warn"] = "warn",
    verbose: bool = False,
) -> pd.DataFrame:
    """Analyze every recording in a folder and its subfolders, sorted by path.

    The content decides, whatever the suffix. Hidden files and other kinds of files are left out.

    Parameters
    ----------
    folder : to search
    pattern : glob relative to `folder`
    transcribe, channels, speakers, analyzer, errors, verbose : as in `process_files`

    Raises
    ------
    InvalidAudio
        There is no such folder.
    SerError
        As in `process_files`.

    Examples
    --------
    >>> from ser_engine import process_folder
    >>> table = process_folder("tests/data", pattern="woman_*.ogg", transcribe=False)
    >>> sorted(set(table.columns) - {"label", "confidence", "transcript", "language"})
    ['angry', 'calm', 'disgust', 'fearful', 'happy', 'neutral', 'sad', 'surprised']
    """
    if not Path(folder).is_dir():
        raise InvalidAudio(f"There is no folder “{folder}”.")
    spans: list[_FilePart] = [(file, None, None) for file in find_files(folder, pattern)[0]]
    options = _Options(transcribe, channels, speakers)
    return _process_parts(spans, options, analyzer, errors, verbose, skip=True)


def find_files(folder: str | Path, pattern: str = "**/*") -> tuple[list[Path], int]:
    """Return the files in a folder that match a glob, sorted and without hidden ones, and the number of those."""
    files = sorted(file for file in Path(folder).glob(pattern) if file.is_file())
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    return seen, len(files) - len(seen)


def is_other_file(file: str | Path, error: SerError) -> bool:
    """Whether a file in a folder is no recording by its content and its name, so that it can be skipped."""
    return isinstance(error, NotAudio) and Path(file).suffix.lower() not in AUDIO_SUFFIXES


def process_signal(
    signal: NDArray[Any],
    sampling_rate: int,
    *,
    file: str = "",
    start: Time | None = None,
    end: Time | None = None,
    transcribe: bool | None = None,
    channels: str | int | None = None,
    speakers: bool = False,
    analyzer: Analyzer | None = None,
) -> pd.DataFrame:
    """Analyze samples.

    Parameters
    ----------
    signal : floats in -1..1 or signed integers, [n] or [channels, n]
    sampling_rate : in Hz
    file : name in the index
    start, end, transcribe, channels, speakers, analyzer : as in `process_file`

    Raises
    ------
    SerError
        The samples cannot be analyzed: see `Analyzer.analyze`.

    Examples
    --------
    >>> import soundfile
    >>> from ser_engine import process_signal
    >>> samples, rate = soundfile.read("tests/data/man_dogs.ogg")
    >>> process_signal(samples, rate)["transcript"].item()
    'Dogs are sitting by the door.'
    """
    from ser_engine.audio.decode import load_samples
    from ser_engine.audio.sound import as_sound

    analyzer = analyzer or _shared_analyzer(Settings.from_env())
    begin, settings = _seconds(start) or 0.0, analyzer.settings
    sound = as_sound(load_samples(signal, sampling_rate, settings, file), settings)
    part = sound.part(begin, _seconds(end), settings.whole_s)
    analysis = analyzer.analyze(part, transcribe=transcribe, channels=channels)
    return _table([(file, begin, begin + part.duration_s, analysis)], analysis.scores.labels, speakers)


@lru_cache(maxsize=4)
def _shared_analyzer(settings: Settings) -> Analyzer:
    return Analyzer(settings)


Row = tuple[str, float, float | None, Analysis | SerError]
"""File, start and end in seconds (None for the end of a file that could not be read), and the result."""


def _analyze_parts(spans: Iterable[_FilePart], analyzer: Analyzer, options: _Options) -> Iterator[Row]:
    """Yield the row of each part of a file, without any samples; a few short ones are analyzed together."""
    parts: list[_OpenPart] = []
    with ExitStack() as files:
        for span in spans:
            parts.append(_open_part(span, analyzer.settings, files))
            seconds = sum(part.duration_s for *_, part in parts if not isinstance(part, SerError))
            if len(parts) == BATCH or seconds > analyzer.settings.whole_s:
                yield from _analyze_together(parts, analyzer, options)
                files.close()
                parts = []
        yield from _analyze_together(parts, analyzer, options)


_OpenPart = tuple[str, float, float | None, "Sound | SerError"]  # file, start and end, and its sound


def _open_part(span: _FilePart, settings: Settings, files: ExitStack) -> _OpenPart:
    """Open a file, which `files` closes, and return the part of it."""
    from ser_engine.audio.sound import open_sound

    file, begin, stop = str(span[0]), _seconds(span[1]) or 0.0, _seconds(span[2])
    try:
        sound = files.enter_context(open_sound(span[0], settings)).part(begin, stop, settings.whole_s)
    except SerError as error:
        return file, begin, stop, error
    return file, begin, begin + sound.duration_s, sound


def _analyze_together(parts: Sequence[_OpenPart], analyzer: Analyzer, options: _Options) -> Iterator[Row]:
    sounds = [part for *_, part in parts if not isinstance(part, SerError)]
    results = iter(analyzer.analyze_batch(sounds, transcribe=options.transcribe, channels=options.channels))
    for file, begin, stop, part in parts:
        result = part if isinstance(part, SerError) else next(results)
        yield file, begin, stop, result if isinstance(result, SerError) else result.without_sound()


def _seconds(time: Time | None) -> float | None:
    import pandas as pd

    if time is None or pd.isna(time):
        return None
    return float(time) if isinstance(time, (int, float)) else float(pd.Timedelta(time).total_seconds())


def _table(rows: Sequence[Row], labels: Sequence[str], speakers: bool) -> pd.DataFrame:
    import pandas as pd

    voices: list[Speaker | None] = [None] * len(rows)
    if speakers:
        rows, voices = _split_rows(rows)
    files, starts, ends = ([row[column] for row in rows] for column in range(3))
    times = [pd.to_timedelta(np.array(seconds, np.float64), unit="s") for seconds in (starts, ends)]
    analyses = [None if isinstance(result, SerError) else result for *_, result in rows]
    nothing = np.full(len(labels), np.nan, np.float32)
    scores = np.array([each.scores.probabilities if each else nothing for each in analyses], np.float32)
    table = pd.DataFrame(
        scores.reshape(len(rows), len(labels)),
        columns=list(labels),
        index=pd.MultiIndex.from_arrays([files, *times], names=["file", "start", "end"]),
    )
    table["label"] = pd.Series([each.scores.top if each else None for each in analyses], table.index, dtype=object)
    table["confidence"] = table[list(labels)].max(axis=1)
    transcripts = [each.transcript if each else None for each in analyses]
    for column, attribute in (("transcript", "text"), ("language", "language")):
        values = [getattr(transcript, attribute, None) for transcript in transcripts]
        table[column] = pd.Series(values, table.index, dtype=object)
    if speakers:
        table["speaker"] = pd.Series([voice and voice.name for voice in voices], table.index, dtype=object)
        table["channel"] = pd.Series([voice and voice.channel for voice in voices], table.index, dtype="Int64")
    return table


def _split_rows(rows: Sequence[Row]) -> tuple[list[Row], list[Speaker | None]]:
    """Return a row for each of several speakers instead of one for the recording, and the speaker of each row."""
    split: list[Row] = []
    voices: list[Speaker | None] = []
    for file, start, end, result in rows:
        own = () if isinstance(result, SerError) else result.speakers
        answers: list[Analysis | SerError] = [speaker.answer for speaker in own] or [result]
        split += [(file, start, end, answer) for answer in answers]
        voices += list(own) or [None]
    return split, voices
