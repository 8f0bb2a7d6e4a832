"""Transcribe with OpenAI's Whisper model and decoding, on windows shorter than its own.

Whisper pads everything to 30 s, which is most of the cost of a three-second clip. Its encoder accepts shorter windows,
but hallucinates text below 768 positions (15.36 s). Windows therefore have 768 positions; longer speech is split at
pauses, and several windows are decoded at a time. Each has its own language: see `transcription.language`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_engine.audio.clean import PAD_S
from ser_engine.models.whisper import BUNDLED, shared_whisper
from ser_engine.settings import Settings
from ser_engine.transcription.alignment import fit_to_speech
from ser_engine.transcription.decoding import Decoded
from ser_engine.transcription.language import Detection, choose_language, find_languages, main_language
from ser_engine.transcription.recognizer import Recognizer, as_recognizer
from ser_engine.transcription.windows import Window, cut_windows
from ser_engine.transcription.word_times import SECONDS_PER_POSITION
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Span, Transcript, TranscriptSegment, Word

if TYPE_CHECKING:
    from whisper.model import Whisper
    from whisper.tokenizer import Tokenizer

    from ser_engine.models.download import Progress

WINDOW = 768
HOP_LENGTH = 160
"""Samples of a frame of the spectrogram, half a position."""
# The speech in a window is this much shorter than the window, since Whisper loses words at its very end.
MARGIN_S = 1.0
# Added around the segments of speech, since voice activity detection easily misses the first consonant of a sentence.
AROUND_S = 0.3
BATCH = 4
BEAMS = 5

# Whisper's own limits (defaults of its transcribe()): repetitive text, improbable text, no speech.
MAX_COMPRESSION_RATIO, MIN_LOG_PROBABILITY, MAX_NO_SPEECH = 2.4, -1.0, 0.6
# People do repeat themselves, but then Whisper is certain of speech, and nobody speaks more characters per second than
# this; a repetition hallucinated from noise or music fails one or the other.
MAX_CHARACTERS_PER_S, CERTAIN_SPEECH = 25.0, 0.2

UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")
"""Languages that Whisper's tokenizer divides into characters, since they have no spaces between words."""


_Found = tuple[Window, list[TranscriptSegment]]


class Transcriber:
    """Transcribes `CleanSpeech`; may be called from several threads.

    `model` is openai-whisper's, in float32, or a `Recognizer`; `engine` names it in transcripts, such as
    "whisper-base (int8 weights)"; `language` is the code of the language of all speech, or None to detect it.
    Raise InvalidSettings for a language that Whisper does not know.
    """

    def __init__(self, model: Whisper | Recognizer, engine: str, language: str | None = None) -> None:
        self.engine = engine
        self._model = as_recognizer(model, WINDOW)
        chosen = choose_language(self._model, language)
        self.language = chosen.language if chosen else None

    def warm_up(self, words: bool = False) -> None:
        """Run the model once; with `words`, also prepare what times them, which can take two seconds."""
        states = self._model.encode([np.zeros(SAMPLE_RATE, np.float32)])
        self._model.detect(states)
        self._model.decode(states, "en", tokens=1)
        if words:
            self._model.prepare_words()

    def transcribe(
        self, speech: CleanSpeech, words: bool = False, language: str | None = None, main: str | None = None
    ) -> Transcript:
        """Return the sentences with their times in the original recording; an empty text without credible words.

        Parameters
        ----------
        words : whether each word has times as well, which takes about a tenth longer
        language : of all speech; empty to detect it, None for that of this transcriber
        main : language of speech whose detection is doubtful; by default, that of most of the speech

        Raises
        ------
        InvalidSettings
            Whisper does not know the language.
        """
        return self.transcribe_all([speech], words=words, language=language, main=main)[0]

    def transcribe_all(
        self,
        speeches: Sequence[CleanSpeech],
        batch: int = BATCH,
        words: bool = False,
        language: str | None = None,
        main: str | None = None,
        step: Callable[[float], object] | None = None,
    ) -> list[Transcript]:
        """Transcribe several speeches, decoding up to `batch` of their windows together; others as in `transcribe`.

        `step` is called before each batch with the share of the windows that are done; an exception that it raises ends
        the transcription.
        """
        found = [_detected(speech) for speech in speeches]
        wide = [speech.widened(AROUND_S) for speech in speeches]
        limit = round((WINDOW * SECONDS_PER_POSITION - MARGIN_S) * SAMPLE_RATE)
        chosen = choose_language(self._model, self.language if language is None else language)
        windows = [part for n, speech in enumerate(wide) for part in cut_windows(n, speech, found[n], limit, chosen)]
        decoded = self._transcribe(windows, wide, batch, words, step)
        mains = [main or main_language(segments) for segments in _by_speech(decoded, len(wide))]
        again = []
        for window, segments in decoded.values():
            likely = mains[window.speech]
            if (window.doubtful or not segments) and likely and likely != window.language:
                again.append(replace(window, detected=Detection(likely, doubtful=True)))
        # Where no words are credible in that language, those in the detected one stay.
        decoded |= {key: own for key, own in self._transcribe(again, wide, batch, words).items() if own[1]}
        return [
            self._join_segments([fit_to_speech(segment, found[n]) for segment in segments])
            for n, segments in enumerate(_by_speech(decoded, len(wide)))
        ]

    def _transcribe(
        self,
        windows: Sequence[Window],
        speeches: Sequence[CleanSpeech],
        batch: int,
        words: bool,
        step: Callable[[float], object] | None = None,
    ) -> dict[tuple[int, int], _Found]:
        """Return each window and its credible words, by its key; the parts of one with several languages."""
        waiting = list(windows)
        decoded: dict[tuple[int, int], _Found] = {}
        while waiting:
            if step:
                step(max(0.0, 1 - len(waiting) / len(windows)))
            together = [window for window in waiting if window.tokens == waiting[0].tokens][:batch]
            waiting = [window for window in waiting if window not in together]
            results, parts = self._decode(together)
            waiting = parts + waiting
            for window, result in results:
                _, segments = decoded.setdefault(window.key, (window, []))
                if is_credible(result, len(window.samples) / SAMPLE_RATE):
                    segments += self._cut_segments(speeches[window.speech], window, result, words)
                    if rest := self._find_rest(result, len(window.samples)):
                        waiting.append(window.rest(rest))
        return decoded

    def _join_segments(self, segments: list[TranscriptSegment]) -> Transcript:
        """Join the segments of a recording's windows, in the order of their times."""
        segments.sort(key=lambda segment: segment.start)
        text = " ".join(segment.text for segment in segments)
        lengths = [len(segment.text) for segment in segments]
        confidence = float(np.average([s.confidence for s in segments], weights=lengths)) if segments else 0.0
        return Transcript(text, main_language(segments), tuple(segments), confidence, self.engine)

    def _decode(self, windows: Sequence[Window]) -> tuple[list[tuple[Window, Decoded]], list[Window]]:
        """Return windows in one language with their texts, and the parts of the others, which are still to be decoded.

        All have the same limit of tokens.
        """
        length = round(WINDOW * SECONDS_PER_POSITION * SAMPLE_RATE)
        results: list[tuple[Window, Decoded]] = []
        unknown = [window.samples[:length] for window in windows if window.states is None]
        padded = [np.pad(samples, (0, length - len(samples))) for samples in unknown]
        encoded = iter(self._model.encode(padded) if padded else ())
        states = [next(encoded) if window.states is None else window.states for window in windows]
        found = self._detect(windows, states)
        single = {row: own[0] for row, own in enumerate(found) if len(own) == 1}
        # The others are not kept, since they are large.
        single |= {row: replace(own, states=states[row]) for row, own in single.items() if own.doubtful}
        rows: dict[str, list[int]] = {}
        for row, window in single.items():
            rows.setdefault(window.language, []).append(row)
        for language, own in rows.items():
            texts = self._decode_states([single[row] for row in own], [states[row] for row in own], language)
            results += [(single[row], text) for row, text in zip(own, texts, strict=True)]
        return results, [part for own in found if len(own) > 1 for part in own]

    def _detect(self, windows: Sequence[Window], states: Sequence[Any]) -> list[list[Window]]:
        """Return each window with its language, or its parts where it has several."""
        unknown = [row for row, window in enumerate(windows) if window.detected is None]
        log_probs = iter(self._model.detect([states[row] for row in unknown]) if unknown else ())
        found = [[window] for window in windows]
        for row in unknown:
            window = windows[row]
            parts = find_languages(self._model, states[row], window.samples, window.stretches, next(log_probs))
            found[row] = [window.part(*part) for part in parts]
        return found

    def _decode_states(self, windows: Sequence[Window], states: Sequence[Any], language: str) -> list[Decoded]:
        """Decode greedily, and again by beam search where the text is not credible although there may be speech."""
        results = self._model.decode(states, language, windows[0].tokens)
        for i, (window, result) in enumerate(zip(windows, results, strict=True)):
            doubtful = not is_credible(result, len(window.samples) / SAMPLE_RATE)
            if doubtful and result.no_speech_prob <= MAX_NO_SPEECH:
                (results[i],) = self._model.decode([states[i]], language, window.tokens, BEAMS)
        return results

    def _find_rest(self, result: Decoded, length: int) -> int:
        """Return the sample from which on Whisper left a window of `length` samples undecoded; 0 if there is no rest.

        Whisper marks this, as it was trained to, by two timestamps at the end of the text: the end of the last
        complete segment and the beginning of the next. A rest longer than what Whisper loses at an end gets another
        window.
        """
        begin = self._tokenizer(result.language).timestamp_begin
        if len(result.tokens) < 2 or min(result.tokens[-2:]) < begin:
            return 0
        rest = round((result.tokens[-1] - begin) * SECONDS_PER_POSITION * SAMPLE_RATE)
        return rest if MARGIN_S * SAMPLE_RATE <= rest <= length - MARGIN_S * SAMPLE_RATE else 0

    def _tokenizer(self, language: str) -> Tokenizer:
        return self._model.tokenizer(language)

    def _cut_segments(
        self, speech: CleanSpeech, window: Window, result: Decoded, words: bool
    ) -> Iterator[TranscriptSegment]:
        """Cut a decoded window at its timestamp tokens; with `words`, each of them has times as well."""
        tokenizer = self._tokenizer(result.language)
        begin, end, said = 0.0, len(window.samples) / SAMPLE_RATE, []
        pieces: list[tuple[float, float, list[int]]] = []
        for token in result.tokens:
            if token < tokenizer.timestamp_begin:
                said.append(token)
                continue
            moment = min((token - tokenizer.timestamp_begin) * SECONDS_PER_POSITION, end)
            if said:
                pieces.append((begin, moment, said))
            begin, said = moment, []
        if said:
            pieces.append((begin, end, said))
        offset = window.start / SAMPLE_RATE
        spoken: list[list[Word]] = [[] for _ in pieces]
        if words:
            frames = max(2, len(window.samples) // HOP_LENGTH)
            timed = self._model.align(result.audio_features, result.language, pieces, frames)
            spoken = [join_parts(each, result.language not in UNSPACED) for each in timed]
        spans = speech.spans_between(window.start, window.start + len(window.samples))
        within = replace(speech, samples=window.samples, segments=spans)
        for (begin, finish, tokens), within_piece in zip(pieces, spoken, strict=True):
            if text := tokenizer.decode(tokens).strip():
                span = speech.original_span(offset + begin, offset + finish)
                own = tuple(replace(word, **vars(within.original_span(word.start, word.end))) for word in within_piece)
                segment = TranscriptSegment(span.start, span.end, text, math.exp(result.avg_logprob), own)
                yield replace(segment, language=window.language, language_doubtful=window.doubtful)


def join_parts(timed: Sequence[dict[str, Any]], spaced: bool) -> list[Word]:
    """Return the words that Whisper timed; in a language with spaces, the parts of "o'clock" are joined."""
    words: list[Word] = []
    for part in timed:
        word = Word(float(part["start"]), float(part["end"]), part["word"].strip(), float(part["probability"]))
        if words and spaced and not part["word"].startswith(" "):
            first = words.pop()
            word = Word(first.start, word.end, first.text + word.text, min(first.confidence, word.confidence))
        words.append(word)
    return words


def is_credible(result: Decoded, seconds: float) -> bool:
    """Return whether the text of `seconds` of audio is credible rather than hallucinated, by Whisper's own measures."""
    certain = result.no_speech_prob < CERTAIN_SPEECH and len(result.text) <= MAX_CHARACTERS_PER_S * seconds
    if not result.text.strip() or (result.compression_ratio > MAX_COMPRESSION_RATIO and not certain):
        return False
    doubt = 0.5 if result.no_speech_prob > MAX_NO_SPEECH else 1.0
    return bool(result.avg_logprob >= doubt * MIN_LOG_PROBABILITY)


def _by_speech(decoded: Mapping[tuple[int, int], _Found], count: int) -> list[list[TranscriptSegment]]:
    """Return the segments of each of `count` speeches."""
    segments: list[list[TranscriptSegment]] = [[] for _ in range(count)]
    for window, own in decoded.values():
        segments[window.speech] += own
    return segments


def _detected(speech: CleanSpeech) -> list[Span]:
    """Return the segments of speech as they were detected, without the padding that cleaning put around them."""
    length = speech.quality.duration_s
    return [
        Span(span.start + PAD_S * (span.start > 0), span.end - PAD_S * (span.end < length)) for span in speech.segments
    ]


def load_transcriber(settings: Settings, progress: Progress | None = None) -> Transcriber:
    """Load the Whisper that the settings name; `progress` is called while its weights are downloaded.

    Raise WeightsUnavailable if they are not there, InvalidSettings for a language that Whisper does not know.
    """
    if settings.whisper == BUNDLED and settings.uses_onnx:
        from ser_engine.transcription.onnx_whisper import OnnxWhisper

        return Transcriber(OnnxWhisper(settings, WINDOW), "whisper-base (int8 weights)", settings.language)
    from ser_engine.models.batching import set_up_torch

    set_up_torch(settings.threads)
    precision = "int8" if settings.whisper == BUNDLED else "float16"
    whisper = shared_whisper(settings, progress)
    engine = f"whisper-{settings.whisper} ({precision} weights)"
    return Transcriber(whisper, engine, settings.language)
