"""The settings, in one frozen dataclass; no other module reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from platformdirs import user_cache_path

from ser_engine.errors import InvalidSettings

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries models/ and configs/ in the package; in a checkout they lie next to it.
INSTALLED = (_PACKAGE / "bundled").is_dir()
PROJECT = _PACKAGE / "bundled" if INSTALLED else _PACKAGE.parent
# An installed package writes to the current folder, and caches where the operating system has it.
_WORK = Path() if INSTALLED else PROJECT
_CACHE = user_cache_path("ser-engine", appauthor=False) if INSTALLED else PROJECT / "cache"
WHISPER_SIZES = (
    "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en",
    "large-v1", "large-v2", "large-v3", "turbo",
)  # fmt: skip
NoiseReduction = Literal["auto", "always", "off"]
Engine = Literal["onnx", "torch"]
Device = Literal["auto", "cpu", "cuda", "mps"]
CHANNELS = ("auto", "mix", "split")
"""Values of `Settings.channels` besides numbers."""
PYANNOTE = "pyannote"
SPEAKERS = ("auto", "off", PYANNOTE)
"""Values of `Settings.speakers` besides numbers and "pyannote:PIPELINE"."""


@dataclass(frozen=True)
class Settings:
    """The settings with their defaults; `Settings.from_env()` reads SER_<NAME IN CAPITALS>.

    Attributes
    ----------
    model : emotion model: the name of a folder in `models_dir`, a path, or "hf:OWNER/NAME@COMMIT" for one of the
        Hugging Face hub; if empty, the one that models/DEFAULT names
    models_dir : folder of the bundled models
    whisper : Whisper's size. "base" is bundled; others are searched in `whisper_dir`
    whisper_dir : folder of official Whisper checkpoints (NAME.pt); Whisper's own cache by default
    allow_download : whether missing weights may be downloaded from their publisher
    download_timeout_s : seconds without a byte after which a download is given up
    transcribe : whether words are transcribed
    words : whether words get times of their own, which takes about a tenth longer
    language : code of the language of all speech, such as "en"; if empty, it is detected for each stretch of speech
    noise_reduction : "auto" (only where the signal-to-noise ratio is low), "always" (as Sharma, III.A) or "off"
    track : audio track to analyze, counted from 1; 0 for the default track or, where it is silent, the first with sound
    channels : channels to analyze: "auto" (a speaker each where two channels carry different speakers, the better one
        where another is dead, inverted or clipped, the best of three or more, otherwise their mean), "mix" (their
        mean), "split" (a speaker each), or the number of one, counted from 1
    channel_names : names of the channels, separated by commas, such as "agent,customer"; if empty, left and right
    speakers : who speaks when, where they share a channel: "auto" finds the number of speakers, a number is that of
        them, and "off" takes all speech for that of one. "pyannote" uses pyannote.audio where it is installed, and
        "pyannote:PIPELINE" another pipeline than its default: a name on the Hugging Face hub, or a path
    max_bytes, max_seconds : limits of a recording, checked before it is decoded; on the page they are 400 MB and an
        hour by default
    stretch_s : a recording of more than twice as many seconds is analyzed in stretches of this length, so that memory
        does not grow with its own; less takes less memory, but sees less of the recording at a time
    min_speech_s : seconds of speech below which no emotion is predicted
    data : folder of corpora, one subfolder each; only training and evaluation read it
    emobox : folder of EmoBox's published listings, one CSV per corpus; only the protocol "emobox" reads it
    cache : folder of cached features and of the state of training runs
    results : folder of measured runs; the results page reads it
    batch_sources : folder whose recordings the Batch page offers to every visitor, with the folders below it; none if
        empty
    batch_results : folder in which the Batch page keeps the recordings that were dropped, and their answers
    batch_days : days after which it discards them
    threads : threads that models may use; 0 for as many as this process has cores
    engine : what computes the bundled models: "onnx" (onnxruntime, without loading torch) or "torch", the reference.
        Other models and sizes of Whisper are always computed by torch
    device : where torch computes: "auto" (a GPU with CUDA where there is one, else the processor), "cpu", "cuda" or
        "mps" (the GPU of a Mac). onnxruntime computes on the processor; with "cuda" or "mps", torch therefore computes
        the bundled models as well
    turn : TURN or STUN servers for live sessions where browser and server do not reach each other: addresses such as
        "turn:turn.example.org:3478", separated by spaces. `turn_user` and `turn_password` hold for all of them, and
        are sent to every visitor's browser
    """

    model: str = ""
    models_dir: Path = PROJECT / "models"
    whisper: str = "base"
    whisper_dir: Path = Path.home() / ".cache" / "whisper"
    allow_download: bool = False
    download_timeout_s: float = 30.0
    transcribe: bool = True
    words: bool = False
    language: str = ""
    noise_reduction: NoiseReduction = "auto"
    track: int = 0
    channels: str = "auto"
    channel_names: str = ""
    speakers: str = "auto"
    max_bytes: int = 4 * 1024**3
    max_seconds: float = 4 * 3600.0
    stretch_s: float = 300.0
    min_speech_s: float = 0.3
    data: Path = _WORK / "data"
    emobox: Path = _WORK / "data" / "emobox"
    cache: Path = _CACHE
    results: Path = _WORK / "results"
    batch_sources: str = ""
    batch_results: Path = _CACHE / "batches"
    batch_days: float = 7.0
    threads: int = 0
    engine: Engine = "onnx"
    device: Device = "auto"
    turn: str = ""
    turn_user: str = ""
    turn_password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.whisper not in WHISPER_SIZES:
            raise InvalidSettings(f"{variable('whisper')} is one of {', '.join(WHISPER_SIZES)}, not “{self.whisper}”.")
        if self.noise_reduction not in (modes := get_args(NoiseReduction)):
            raise InvalidSettings(
                f"{variable('noise_reduction')} is {' or '.join(modes)}, not “{self.noise_reduction}”."
            )
        for name, known in (("engine", get_args(Engine)), ("device", get_args(Device))):
            if getattr(self, name) not in known:
                raise InvalidSettings(f"{variable(name)} is {' or '.join(known)}, not “{getattr(self, name)}”.")
        for name in ("max_bytes", "max_seconds", "stretch_s", "min_speech_s", "download_timeout_s", "batch_days"):
            if not getattr(self, name) > 0:  # refuses NaN, too
                raise InvalidSettings(f"{variable(name)} must be more than 0, not {getattr(self, name)}.")
        for name in ("threads", "track"):
            if getattr(self, name) < 0:
                raise InvalidSettings(f"{variable(name)} must be 0 or more, not {getattr(self, name)}.")
        if self.channels not in CHANNELS and not (self.channels.isdecimal() and int(self.channels) > 0):
            raise InvalidSettings(
                f"{variable('channels')} (--channels) is {', '.join(CHANNELS)} or the number of a channel from 1, "
                f"not “{self.channels}”."
            )
        number = self.speakers.isdecimal() and int(self.speakers) > 0
        if not (number or self.speakers in SPEAKERS or self.speakers.startswith(f"{PYANNOTE}:")):
            raise InvalidSettings(
                f"{variable('speakers')} (--speakers) is {', '.join(SPEAKERS)} or the number of speakers, "
                f"not “{self.speakers}”."
            )
        given = self.names_of_channels()
        if not all(given) or len(set(given)) < len(given):
            raise InvalidSettings(
                f"{variable('channel_names')} (--channel-names) needs a different name for each channel, "
                f"not “{self.channel_names}”."
            )
        for address in self.turn.split():
            if not address.startswith(("turn:", "turns:", "stun:", "stuns:")):
                raise InvalidSettings(
                    f"{variable('turn')} has addresses that begin with turn: or stun:, not “{address}”."
                )

    @property
    def whole_s(self) -> float:
        """Seconds up to which a recording is analyzed as a whole."""
        return 2 * self.stretch_s

    @property
    def uses_onnx(self) -> bool:
        """Whether onnxruntime computes the bundled models: not where a GPU is asked for, since it has none here."""
        return self.engine == "onnx" and self.device in ("auto", "cpu")

    @property
    def thread_count(self) -> int:
        """Threads that a model may use: `threads`, or else what OMP_NUM_THREADS says, or as many as there are cores."""
        given = os.environ.get("OMP_NUM_THREADS", "")
        return self.threads or (int(given) if given.isdecimal() and int(given) else available_cores())

    def names_of_channels(self) -> tuple[str, ...]:
        """Return the names that were given to the channels; none by default."""
        return tuple(name.strip() for name in self.channel_names.split(",")) if self.channel_names else ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **defaults: Any) -> Settings:
        """Return the defaults, overridden by SER_MODEL, SER_WHISPER, SER_MAX_SECONDS and so on.

        `defaults` replace those of settings. Raise InvalidSettings for a value of another type; the message names the
        variable.
        """
        return cls(**read_environment(cls, environ, defaults))


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`, which error messages name, too."""
    return f"SER_{name.upper()}"


def read_environment(
    kind: type[Any], environ: Mapping[str, str] | None, defaults: Mapping[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """Return the fields of a dataclass that the environment names, as SER_<PREFIX AND NAME IN CAPITALS>, or `defaults`.

    `environ` is the process's own by default. Raise InvalidSettings for a value of another type than a field's default.
    """
    given = dict(defaults)
    environ = os.environ if environ is None else environ
    for item in fields(kind):
        name = variable(prefix + item.name)
        if text := environ.get(name):  # an empty one counts as not set
            given[item.name] = _convert(name, text, type(item.default))
    return given


_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def _convert(name: str, text: str, kind: type[Any]) -> object:
    """Convert the environment variable `name` to `kind`: bool, int, float, Path or str."""
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise InvalidSettings(f"{name} is yes or no, not “{text}”.")
        return text.lower() in _TRUE
    try:
        # No shell expands the ~ of a value that comes from a file.
        return Path(text).expanduser() if issubclass(kind, Path) else kind(text)
    except ValueError:
        number = "a whole number" if kind is int else "a number"
        raise InvalidSettings(f"{name} should be {number}, not “{text}”.") from None
    except RuntimeError:
        raise InvalidSettings(f"{name} names the home folder of an unknown user: “{text}”.") from None
