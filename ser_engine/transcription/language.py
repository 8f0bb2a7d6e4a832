"""The language of each stretch of speech, by Whisper's own detection.

Whisper detects one language in all that its decoder attends to. A window in which it is not certain may hold two. The
stretches between its pauses are then detected one by one, first in the window's own states, which takes one step of the
decoder each. Only where one of them differs from the window, all are encoded by themselves, which is more reliable but
takes longer than the window did. A change of language has to be clear: of short speech, the detection is often wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import InvalidSettings
from ser_engine.settings import variable
from ser_engine.transcription.word_times import SECONDS_PER_POSITION
from ser_engine.types import SAMPLE_RATE, Analysis, TranscriptSegment
from ser_engine.viterbi import find_path

if TYPE_CHECKING:
    from ser_engine.transcription.recognizer import Recognizer

LANGUAGES = {
    "en": "English", "zh": "Chinese", "de": "German", "es": "Spanish", "ru": "Russian", "ko": "Korean",
    "fr": "French", "ja": "Japanese", "pt": "Portuguese", "tr": "Turkish", "pl": "Polish", "ca": "Catalan",
    "nl": "Dutch", "ar": "Arabic", "sv": "Swedish", "it": "Italian", "id": "Indonesian", "hi": "Hindi",
    "fi": "Finnish", "vi": "Vietnamese", "he": "Hebrew", "uk": "Ukrainian", "el": "Greek", "ms": "Malay",
    "cs": "Czech", "ro": "Romanian", "da": "Danish", "hu": "Hungarian", "ta": "Tamil", "no": "Norwegian",
    "th": "Thai", "ur": "Urdu", "hr": "Croatian", "bg": "Bulgarian", "lt": "Lithuanian", "la": "Latin",
    "mi": "Maori", "ml": "Malayalam", "cy": "Welsh", "sk": "Slovak", "te": "Telugu", "fa": "Persian",
    "lv": "Latvian", "bn": "Bengali", "sr": "Serbian", "az": "Azerbaijani", "sl": "Slovenian", "kn": "Kannada",
    "et": "Estonian", "mk": "Macedonian", "br": "Breton", "eu": "Basque", "is": "Icelandic", "hy": "Armenian",
    "ne": "Nepali", "mn": "Mongolian", "bs": "Bosnian", "kk": "Kazakh", "sq": "Albanian", "sw": "Swahili",
    "gl": "Galician", "mr": "Marathi", "pa": "Punjabi", "si": "Sinhala", "km": "Khmer", "sn": "Shona",
    "yo": "Yoruba", "so": "Somali", "af": "Afrikaans", "oc": "Occitan", "ka": "Georgian", "be": "Belarusian",
    "tg": "Tajik", "sd": "Sindhi", "gu": "Gujarati", "am": "Amharic", "yi": "Yiddish", "lo": "Lao", "uz": "Uzbek",
    "fo": "Faroese", "ht": "Haitian Creole", "ps": "Pashto", "tk": "Turkmen", "nn": "Nynorsk", "mt": "Maltese",
    "sa": "Sanskrit", "lb": "Luxembourgish", "my": "Myanmar", "bo": "Tibetan", "tl": "Tagalog", "mg": "Malagasy",
    "as": "Assamese", "tt": "Tatar", "haw": "Hawaiian", "ln": "Lingala", "ha": "Hausa", "ba": "Bashkir",
    "jw": "Javanese", "su": "Sundanese", "yue": "Cantonese",
}  # fmt: skip
"""English names of Whisper's languages by their codes, in Whisper's order; its own table is slow to import."""
SHORT_S = 2.0
CLEAR, CLEAR_SHORT = 0.5, 0.9
"""Probabilities below which a detection is doubtful: in general, and in less than `SHORT_S` of speech."""
CERTAIN = 0.99
"""A window of several stretches in which a language is less probable is searched for a change of language."""
SWITCH = 2.0
"""By how much log-probability each change of language has to improve on speech without it."""
WHOLE, WHOLE_WITHIN = 0.5, 0.25
"""How much a window's own log-probabilities count beside those of each of its stretches, which are less reliable: of
those encoded by themselves, and of those within the window's states."""
AFTER_S = 1.0
"""Silence that follows a stretch where it is encoded by itself, as it does in Whisper's training."""


@dataclass(frozen=True)
class Detection:
    """A code of `LANGUAGES`; whether it is no more than a guess, and whether a person chose it."""

    language: str
    doubtful: bool = False
    chosen: bool = False


def choose_language(model: Recognizer, language: str | None) -> Detection | None:
    """Return the language that a person chose; None where it is to be detected.

    Raise InvalidSettings for one that this Whisper does not know.
    """
    code = (language or "").lower() if model.is_multilingual else "en"
    if code and code not in tuple(LANGUAGES)[: model.num_languages]:
        raise InvalidSettings(
            f"The language ({variable('language')}) is a code that Whisper knows, such as en or de, not “{language}”."
        )
    return Detection(code, chosen=True) if code else None


def find_languages(
    model: Recognizer,
    states: Any,
    samples: NDArray[np.float32],
    stretches: Sequence[tuple[int, int]],
    log_probs: NDArray[np.float32],
) -> list[tuple[int, int, Detection]]:
    """Return the parts of a window, each with its first and last sample (exclusive) and its language.

    Parameters
    ----------
    states : of the window, as `Recognizer.encode` returns them
    samples : float32 [n] at 16 kHz
    stretches : first and last sample of each stretch of speech; there may be none
    log_probs : of the languages of the whole window, as `Recognizer.detect` returns them
    """
    seconds = [(last - first) / SAMPLE_RATE for first, last in stretches or [(0, len(samples))]]
    whole = [(0, len(samples), _judge(log_probs, sum(seconds)))]
    if len(stretches) < 2 or log_probs.max() >= np.log(CERTAIN):
        return whole
    pauses = [(before[1] + after[0]) // 2 for before, after in pairwise(stretches)]
    bounds = [0, *pauses, len(samples)]
    within = _detect_within(model, states, bounds) + WHOLE_WITHIN * log_probs
    if (within.argmax(axis=1) == log_probs.argmax()).all():
        return whole
    alone = model.detect_stretches([samples[a:b] for a, b in pairwise(bounds)])
    runs = join_stretches(alone + WHOLE * log_probs, seconds)
    return [(bounds[a], bounds[b], _judge(own, sum(seconds[a:b]))) for a, b, own in runs]


def _detect_within(model: Recognizer, states: Any, bounds: Sequence[int]) -> NDArray[np.float32]:
    """Return the log-probabilities of the languages between neighboring `bounds` (samples), [n, languages]."""
    positions = [round(bound / SAMPLE_RATE / SECONDS_PER_POSITION) for bound in bounds]
    parts = [model.cut(states, first, max(last, first + 1)) for first, last in pairwise(positions)]
    # Of different lengths, they do not fit into one batch.
    return np.concatenate([model.detect([part]) for part in parts])


def _judge(log_probs: NDArray[np.float32], seconds: float) -> Detection:
    """Return the most probable language of `seconds` of speech."""
    best = int(log_probs.argmax())
    clear = CLEAR_SHORT if seconds < SHORT_S else CLEAR
    return Detection(tuple(LANGUAGES)[best], bool(log_probs[best] < np.log(clear)))


def join_stretches(
    log_probs: NDArray[np.float32], seconds: Sequence[float]
) -> list[tuple[int, int, NDArray[np.float32]]]:
    """Join neighboring stretches in one language; return the first and last (exclusive) of each, and log-probabilities.

    `log_probs` are those of stretches, float32 [n, languages], of so many `seconds`; those of less than `SHORT_S` count
    less. The languages are the most probable ones if each change costs `SWITCH`, by the Viterbi algorithm.
    """
    weights = np.minimum(1.0, np.asarray(seconds) / SHORT_S)[:, None]
    evidence = (log_probs * weights).astype(np.float32)
    path = find_path(evidence, SWITCH)
    firsts = [0, *(row for row in range(1, len(path)) if path[row] != path[row - 1])]
    sums = np.add.reduceat(evidence, firsts, axis=0)
    runs = zip(firsts, [*firsts[1:], len(path)], sums, strict=True)
    return [(first, last, own - np.logaddexp.reduce(own)) for first, last, own in runs]


def main_language(segments: Sequence[TranscriptSegment]) -> str | None:
    """Return the language of most of the speech, doubtful detections aside where there are others; None for none."""
    seconds: dict[str, float] = {}
    known = [segment for segment in segments if segment.language]
    for segment in [each for each in known if not each.language_doubtful] or known:
        seconds[str(segment.language)] = seconds.get(str(segment.language), 0.0) + segment.duration_s
    return max(seconds, key=lambda language: seconds[language], default=None)


def name_languages(languages: Iterable[str]) -> str:
    """Return the English names of languages by their codes, such as "German and Italian", in alphabetical order."""
    names = sorted(LANGUAGES.get(language, language) for language in languages)
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def warn_of_languages(analysis: Analysis) -> str:
    """Return a sentence on languages of a recording that its model was never measured on; empty where there are none.

    Doubtful detections do not count.
    """
    figures = analysis.languages
    if figures is None or not (unmeasured := analysis.unmeasured_languages):
        return ""
    return (
        f"The emotion model was never measured on {name_languages(unmeasured)}. It was trained on "
        f"{name_languages(figures.trained)} and measured on {name_languages(figures.measured)}."
    )
