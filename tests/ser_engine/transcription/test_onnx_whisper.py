"""Whisper by onnxruntime decodes, detects and times words as openai-whisper does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ser_engine import Settings
from ser_engine.models.whisper import shared_whisper
from ser_engine.transcription.decoding import NON_SPEECH, Rules, decode, log_softmax
from ser_engine.transcription.language import LANGUAGES
from ser_engine.transcription.onnx_whisper import OnnxWhisper
from ser_engine.transcription.recognizer import TorchWhisper
from ser_engine.transcription.tokens import load_tokenizer
from ser_engine.transcription.transcriber import WINDOW
from ser_engine.transcription.word_times import warp
from tests.speech import Samples, foreign, silence, speech

LENGTH = WINDOW * 320
TEXTS = ("Kids are talking by the door.", "I wonder what this is about.")


@pytest.fixture(scope="module")
def fast(settings: Settings) -> OnnxWhisper:
    return OnnxWhisper(settings, WINDOW)


@pytest.fixture(scope="module")
def reference(settings: Settings) -> TorchWhisper:
    return TorchWhisper(shared_whisper(settings), WINDOW)


def window(text: str, voice: str = "man") -> Samples:
    samples = speech(text, voice)[:LENGTH]
    return np.pad(samples, (0, LENGTH - len(samples))).astype(np.float32)


def plain(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ").strip()


def test_the_text_is_that_of_torch(fast: OnnxWhisper, reference: TorchWhisper) -> None:
    clips = [window(text) for text in TEXTS]
    ours, theirs = fast.encode(clips), reference.encode(clips)
    for one, other in zip(fast.decode(ours, "en", 80), reference.decode(theirs, "en", 80), strict=True):
        # Multiplied in 8 bits, a full stop may come or go.
        assert plain(one.text) == plain(other.text) and one.language == "en"
        assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=0.1)
        assert one.no_speech_prob == pytest.approx(other.no_speech_prob, abs=0.05)
    (together, _), (alone,) = fast.decode(ours, "en", 80), fast.decode(ours[:1], "en", 80)
    assert together.tokens == alone.tokens
    (beams,) = fast.decode(ours[:1], "en", 80, 5)
    assert plain(beams.text) == plain(alone.text)


class Uncached:
    """openai-whisper's decoder as `decoding.Inference`, which decodes all tokens again each time."""

    def __init__(self, model: TorchWhisper, states: Any) -> None:
        self._decoder, self._states = model.model.decoder, states
        self._tokens = np.zeros((1, 0), np.int64)

    def logits(self, tokens: NDArray[np.int64], rows: Sequence[int]) -> NDArray[np.float32]:
        before = self._tokens.shape[1]
        self._tokens = np.concatenate([np.resize(self._tokens, (len(tokens), before)), tokens], axis=1)
        with torch.inference_mode():
            logits = self._decoder(torch.from_numpy(self._tokens), self._states)
        return logits[:, [before + row for row in rows]].numpy().copy()

    def select(self, rows: Sequence[int]) -> None:
        self._tokens = self._tokens[list(rows)]


@pytest.mark.parametrize(("limit", "beams"), [(80, 0), (4, 0), (80, 5), (6, 5)])
def test_decoding_is_openai_whispers(reference: TorchWhisper, limit: int, beams: int) -> None:
    (states,) = reference.encode([window(TEXTS[0])])
    (other,) = reference.decode([states], "en", limit, beams)
    rules = Rules(load_tokenizer(True, 99, "en"), WINDOW)
    (one,) = decode(Uncached(reference, states[None]), rules, [states], "en", limit, beams)
    assert (one.tokens, one.text, one.language) == (other.tokens, other.text, "en")
    assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)
    assert one.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-4)
    assert one.compression_ratio == other.compression_ratio


def test_the_language_is_openai_whispers(fast: OnnxWhisper, reference: TorchWhisper) -> None:
    clips = [window(TEXTS[0])]
    ours, theirs = fast.detect(fast.encode(clips))[0], reference.detect(reference.encode(clips))[0]
    assert ours.argmax() == theirs.argmax() == 0 and len(ours) == len(theirs)
    assert np.abs(np.exp(ours) - np.exp(theirs)).max() < 0.05
    stretches = [speech(TEXTS[0])]
    both = fast.detect_stretches(stretches), reference.detect_stretches(stretches)
    assert np.abs(np.exp(both[0]) - np.exp(both[1])).max() < 0.1


def test_part_of_a_window_has_its_own_language(fast: OnnxWhisper, reference: TorchWhisper) -> None:
    english, french = np.concatenate([speech(TEXTS[0]), silence(0.5)]), foreign("fr")
    change, end = (round(n / 320) for n in (len(english), len(english) + len(french)))
    clip = np.pad(np.concatenate([english, french]), (0, LENGTH - len(english) - len(french)))
    code = tuple(LANGUAGES).index("en")
    for model in (fast, reference):
        (states,) = model.encode([clip])
        first, second = (np.exp(model.detect([model.cut(states, *part)])[0]) for part in ((0, change), (change, end)))
        assert first.argmax() == code and first[code] > 0.5 and second[code] < 0.1
        assert np.array_equal(model.detect([model.cut(states, 0, WINDOW)]), model.detect([states]))


def test_words_have_openai_whispers_times(fast: OnnxWhisper, reference: TorchWhisper) -> None:
    clip = window(TEXTS[0])
    (ours,), (theirs,) = fast.encode([clip]), reference.encode([clip])
    (decoded,) = fast.decode([ours], "en", 80)
    text = [token for token in decoded.tokens if token < fast.tokenizer("en").timestamp_begin]
    pieces = [(0.0, 1.2, text[:3]), (1.2, 3.0, text[3:])]
    both = fast.align(ours, "en", pieces, 300), reference.align(theirs, "en", pieces, 300)
    for one, other in zip(*both, strict=True):
        assert [word["word"] for word in one] == [word["word"] for word in other]
        assert [word["start"] for word in one] == pytest.approx([word["start"] for word in other], abs=0.05)
        assert [word["end"] for word in one] == pytest.approx([word["end"] for word in other], abs=0.05)
        assert [word["probability"] for word in one] == pytest.approx([w["probability"] for w in other], abs=0.1)
    assert fast.align(ours, "en", [], 300) == []


def test_the_rules_are_openai_whispers(reference: TorchWhisper) -> None:
    from whisper.decoding import DecodingOptions, DecodingTask

    task = DecodingTask(reference.model, DecodingOptions(language="de", fp16=False))
    tokenizer = load_tokenizer(True, 99, "de")
    assert tuple(tokenizer.non_speech_tokens) == NON_SPEECH
    rules = Rules(tokenizer, WINDOW)
    assert tuple(rules.prompt) == task.initial_tokens
    rng = np.random.default_rng(0)
    begin = tokenizer.timestamp_begin
    for sampled in (
        [],
        [begin],
        [begin, 50],
        [begin, 50, begin + 40],
        [begin, 50, begin + 40, begin + 40],
        [begin, 9, 7],
    ):
        logits = rng.normal(0, 3, (1, 51865)).astype(np.float32)
        logits[0, begin:] -= 5 * rng.random()
        theirs = torch.from_numpy(logits.copy())
        for each in task.logit_filters:
            each.apply(theirs, torch.tensor([[*rules.prompt, *sampled]]))
        rules.apply(logits, [sampled])
        assert np.array_equal(np.isinf(logits), np.isinf(theirs.numpy()))
    logits = rng.normal(0, 3, (2, 50)).astype(np.float32)
    assert log_softmax(logits) == pytest.approx(torch.from_numpy(logits).log_softmax(dim=1).numpy(), abs=1e-5)


def test_time_warping_is_openai_whispers() -> None:
    from whisper.timing import dtw_cpu

    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 7), (6, 1), (9, 40)):
        costs = rng.normal(size=shape)
        rows, columns = warp(costs)
        assert np.array_equal([rows, columns], dtw_cpu(costs))
        assert all(0 <= after - before <= 1 for before, after in pairwise(rows))
