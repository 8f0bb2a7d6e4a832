"""The words: OpenAI's Whisper model and decoding, on windows that are as short as they may be.

Whisper pads everything to 30 s, which is most of what a three-second clip costs. Its encoder takes shorter windows,
but below 768 positions (15.36 s) it starts to invent text. So the window here is 768, and longer speech is cut where
nobody speaks and decoded several windows at a time.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_engine.types import SAMPLE_RATE, CleanSpeech, Transcript, TranscriptSegment

if TYPE_CHECKING:
    from whisper.decoding import DecodingResult
    from whisper.model import Whisper
    from whisper.tokenizer import Tokenizer

WINDOW = 768
SECONDS_PER_POSITION = 0.02
# Speech in one window is this much shorter than the window: Whisper loses words at a window's very end.
MARGIN_S = 1.0
# The first consonant of a sentence is easily taken for noise by a speech detector: Whisper hears what is around, too.
AROUND_S = 0.3
BATCH = 4

# Whisper's own gates (its transcribe() defaults): text that repeats itself, text it does not believe, no speech.
MAX_COMPRESSION_RATIO, MIN_LOG_PROBABILITY, MAX_NO_SPEECH = 2.4, -1.0, 0.6
# People do repeat themselves, but then Whisper has no doubt that they speak, and nobody says more characters per
# second than this; a loop that was invented from noise or music fails one or the other.
MAX_CHARACTERS_PER_S, SURELY_SPEECH = 25.0, 0.2
# Scripts that Whisper spells in bytes, Bengali's for example, need this many tokens; an invented loop in a short
# recording would go on to Whisper's own limit.
TOKENS_PER_S, MOST_TOKENS = 40, 224


@dataclass(frozen=True, eq=False)
class _Window:
    """Samples float32 [n] at 16 kHz that are decoded at once: of which speech, and from which of its samples on."""

    speech: int
    start: int
    samples: NDArray[np.float32]

    @property
    def tokens(self) -> int:
        """How many tokens its text may have."""
        return min(MOST_TOKENS, TOKENS_PER_S * (1 + math.ceil(len(self.samples) / SAMPLE_RATE)))


class Transcriber:
    """Transcribes `CleanSpeech`; may be called from several threads, which then take turns.

    Parameters
    ----------
    model : openai-whisper model, float32, in evaluation mode
    engine : what transcripts say made them, "whisper-base int8" for example
    language : two-letter code, or None to let Whisper detect it
    """

    def __init__(self, model: Whisper, engine: str, language: str | None = None) -> None:
        self.engine = engine
        self.language = language
        self._model = shorten_window(model, WINDOW)
        self._lock = threading.Lock()  # decoding hangs its key-value cache on the model

    def transcribe(self, speech: CleanSpeech) -> Transcript:
        """Return the words with their times in the original recording; an empty text where Whisper believes none."""
        return self.transcribe_all([speech])[0]

    def transcribe_all(self, speeches: Sequence[CleanSpeech], batch: int = BATCH) -> list[Transcript]:
        """Return what `transcribe` returns for each, decoding up to `batch` windows of them together."""
        speeches = [speech.widened(AROUND_S) for speech in speeches]
        limit = round((WINDOW * SECONDS_PER_POSITION - MARGIN_S) * SAMPLE_RATE)
        windows = [_Window(n, *piece) for n, speech in enumerate(speeches) for piece in split_speech(speech, limit)]
        languages = [self.language] * len(speeches)
        segments: list[list[TranscriptSegment]] = [[] for _ in speeches]
        while windows:
            # Whisper gives a batch one language and one limit of tokens.
            alike = (languages[windows[0].speech], windows[0].tokens)
            some = [w for w in windows if (languages[w.speech], w.tokens) == alike][:batch]
            windows = [w for w in windows if w not in some]
            for window, result in zip(some, self._decode(some, alike[0]), strict=True):
                number, start, samples = window.speech, window.start, window.samples
                if is_credible(result, len(samples) / SAMPLE_RATE):
                    languages[number] = languages[number] or result.language
                    segments[number] += self._segments(speeches[number], start, len(samples), result)
                    if heard := self._heard(result, len(samples)):
                        windows.append(_Window(number, start + heard, samples[heard:]))
        return [self._joined(found, language) for found, language in zip(segments, languages, strict=True)]

    def _joined(self, segments: list[TranscriptSegment], language: str | None) -> Transcript:
        """Join what was heard in a recording's windows, in the order in which it was said."""
        segments.sort(key=lambda segment: segment.start)
        text = " ".join(segment.text for segment in segments)
        lengths = [len(segment.text) for segment in segments]
        confidence = float(np.average([s.confidence for s in segments], weights=lengths)) if segments else 0.0
        return Transcript(text, language if text else None, tuple(segments), confidence, self.engine)

    def _decode(self, windows: Sequence[_Window], language: str | None) -> list[DecodingResult]:
        """Decode greedily, and once more by beam search what the gates do not believe though somebody may speak."""
        import torch
        from whisper.audio import log_mel_spectrogram, pad_or_trim
        from whisper.decoding import DecodingOptions

        length = round(WINDOW * SECONDS_PER_POSITION * SAMPLE_RATE)
        options = DecodingOptions(language=language, sample_len=windows[0].tokens, fp16=False)
        with torch.inference_mode():
            # One spectrogram at a time: it takes its reference level from all that it is given.
            audio = [torch.from_numpy(pad_or_trim(window.samples, length)) for window in windows]
            mels = torch.stack([log_mel_spectrogram(samples, self._model.dims.n_mels) for samples in audio])
            states = self._model.encoder(mels)
            with self._lock:
                results: list[DecodingResult] = self._model.decode(states, options)
                for i, (window, result) in enumerate(zip(windows, results, strict=True)):
                    doubtful = not is_credible(result, len(window.samples) / SAMPLE_RATE)
                    if doubtful and result.no_speech_prob <= MAX_NO_SPEECH:
                        careful = replace(options, language=result.language, beam_size=5)
                        results[i] = self._model.decode(states[i], careful)
        return results

    def _heard(self, result: DecodingResult, length: int) -> int:
        """Return how many samples Whisper heard of a window that it left early; 0 where it heard all of it.

        It says so as it was trained to: two timestamps end the text, one of what is complete, one of what would
        follow. What it left is worth another window if it is longer than what Whisper loses at an end.
        """
        begin = self._tokenizer(result.language).timestamp_begin
        if len(result.tokens) < 2 or min(result.tokens[-2:]) < begin:
            return 0
        heard = round((result.tokens[-1] - begin) * SECONDS_PER_POSITION * SAMPLE_RATE)
        return heard if MARGIN_S * SAMPLE_RATE <= heard <= length - MARGIN_S * SAMPLE_RATE else 0

    def _tokenizer(self, language: str) -> Tokenizer:
        from whisper.tokenizer import get_tokenizer

        model = self._model
        return get_tokenizer(model.is_multilingual, num_languages=model.num_languages, language=language)

    def _segments(
        self, speech: CleanSpeech, start: int, length: int, result: DecodingResult
    ) -> Iterator[TranscriptSegment]:
        """Cut one decoded window at its timestamp tokens."""
        tokenizer = self._tokenizer(result.language)
        begin, end, words = 0.0, length / SAMPLE_RATE, []
        pieces: list[tuple[float, float, list[int]]] = []
        for token in result.tokens:
            if token < tokenizer.timestamp_begin:
                words.append(token)
                continue
            moment = min((token - tokenizer.timestamp_begin) * SECONDS_PER_POSITION, end)
            if words:
                pieces.append((begin, moment, words))
            begin, words = moment, []
        if words:
            pieces.append((begin, end, words))
        offset = start / SAMPLE_RATE
        for begin, finish, tokens in pieces:
            if text := tokenizer.decode(tokens).strip():
                where = speech.original_span(offset + begin, offset + finish)
                yield TranscriptSegment(where.start, where.end, text, math.exp(result.avg_logprob))


def is_credible(result: DecodingResult, seconds: float) -> bool:
    """Say whether text was heard in `seconds` of sound rather than invented, by Whisper's own measures of itself."""
    spoken = result.no_speech_prob < SURELY_SPEECH and len(result.text) <= MAX_CHARACTERS_PER_S * seconds
    if not result.text.strip() or (result.compression_ratio > MAX_COMPRESSION_RATIO and not spoken):
        return False
    doubt = 0.5 if result.no_speech_prob > MAX_NO_SPEECH else 1.0
    return result.avg_logprob >= doubt * MIN_LOG_PROBABILITY


def split_speech(speech: CleanSpeech, limit: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (first sample, samples) of pieces of at most `limit` samples, cut between stretches of speech.

    A stretch that is itself too long is cut at its quietest tenth of a second within the last third.
    """
    samples = speech.samples
    joints = np.cumsum([round(span.duration_s * SAMPLE_RATE) for span in speech.segments])
    start = 0
    while len(samples) - start > limit:
        inside = joints[(joints > start + limit // 2) & (joints <= start + limit)]
        cut = int(inside[-1]) if len(inside) else start + _quietest(samples[start : start + limit])
        yield start, samples[start:cut]
        start = cut
    yield start, samples[start:]


def _quietest(samples: NDArray[np.float32]) -> int:
    """Return where, in the last third of `samples`, a tenth of a second holds the least energy."""
    width = SAMPLE_RATE // 10
    first = 2 * len(samples) // 3
    frames = np.lib.stride_tricks.sliding_window_view(samples[first:], width)[:: width // 2]
    return first + int(np.square(frames).sum(axis=1).argmin()) * (width // 2) + width // 2


def shorten_window(model: Whisper, positions: int) -> Whisper:
    """Return a Whisper whose encoder takes `positions` (2 mel frames each) and which shares every weight."""
    tensors = [*model.parameters(), *model.buffers()]
    short = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    short.encoder.positional_embedding = model.encoder.positional_embedding[:positions]
    short.dims.n_audio_ctx = positions
    return short
