"""HuBERT+BERT and its relatives: the same scores in any batch, modalities, re-scoring of edited words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_engine import Settings
from ser_engine.errors import InvalidSettings
from ser_engine.models.batching import length_groups
from ser_engine.models.speech_text import SpeechText, speech_states, text_states
from tests.ser_engine.models.tiny_encoders import SPEECH
from tests.ser_engine.models.tiny_networks import (
    CLIPS,
    TEXTS,
    build,
    logits,
    probabilities,
    said,
)
from tests.speech import RATE, speech, taken_for_speech

# --- the same alone and in any batch


@pytest.mark.parametrize("layers", ["last", "weighted", "all"])
@pytest.mark.parametrize("kind", SPEECH)
def test_alone_and_in_any_batch_a_clip_scores_the_same(kind: str, layers: str, here: Settings) -> None:
    pair = build(here, kind, layers=layers)
    if layers == "weighted":
        pair[0].layer_logits.data.normal_(generator=torch.Generator().manual_seed(0))
    together = logits(pair, CLIPS, TEXTS)
    alone = torch.cat([logits(pair, [clip], [text]) for clip, text in zip(CLIPS, TEXTS, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(logits(pair, CLIPS[::-1], TEXTS[::-1]).flip(0), alone, atol=1e-4, rtol=0)
    assert together.std(dim=0).min() > 0.01  # what is said does matter, and how
    assert logits(pair, CLIPS, [""] * len(CLIPS)).std(dim=0).min() > 0.01


def test_standardized_states_are_centered_and_what_is_left_out_stays_zero(here: Settings) -> None:
    network, _ = build(here, layers="all", standardized=True)
    rng = torch.Generator().manual_seed(0)
    speech = 5 + 3 * torch.randn(64, network.speech.layers, 16, generator=rng)
    text = 2 + torch.randn(64, 12, generator=rng)
    text[::4] = 0
    network.fit_standardization(speech, text)
    heard, read = network.speech_standard(speech), network.text_standard(text)
    torch.testing.assert_close(heard.mean(dim=0), torch.zeros_like(heard[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(heard.std(dim=0, correction=0), torch.ones_like(heard[0]), atol=1e-4, rtol=0)
    assert not read[::4].any()
    torch.testing.assert_close(read[text.any(dim=1)].mean(dim=0), torch.zeros(12), atol=1e-4, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(network.classify(speech, torch.zeros_like(text)), network.classify(speech, None))


def test_what_lies_in_the_padding_is_not_heard(here: Settings) -> None:
    network, processor = build(here)
    inputs = processor(CLIPS[:3], TEXTS[:3])
    dirty = dict(inputs)
    dirty["input_values"] = inputs["input_values"] + (1 - inputs["attention_mask"]) * 9.0
    dirty["input_ids"] = inputs["input_ids"] + (1 - inputs["text_attention_mask"]) * 7
    with torch.no_grad():
        torch.testing.assert_close(network(**dirty).logits, network(**inputs).logits, atol=1e-5, rtol=0)


def test_whisper_hears_a_long_clip_in_equal_stretches(here: Settings) -> None:
    network, processor = build(here, "whisper")
    clip = np.tile(speech()[:RATE], 5)[: 4 * RATE + 640]  # positions for two seconds: three stretches
    whole = speech_states(network, processor, [clip])
    parts = speech_states(network, processor, np.array_split(clip, 3))
    assert whole is not None and parts is not None
    torch.testing.assert_close(whole[0], parts.mean(dim=0), atol=1e-4, rtol=1e-3)


def test_predict_keeps_the_order_and_the_scores(here: Settings) -> None:
    model = SpeechText("tried", *build(here))
    batch, words = [taken_for_speech(clip) for clip in CLIPS], [said(text or "") for text in TEXTS]
    together = probabilities(model.predict(batch, words))
    model.clear_cache()
    alone = np.concatenate(
        [probabilities(model.predict([one], [text])) for one, text in zip(batch, words, strict=True)]
    )
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    expected = logits((model.network, model.processor), CLIPS, TEXTS).softmax(dim=1).numpy()
    np.testing.assert_allclose(together, expected, atol=1e-4)
    assert model.predict([], []) == []


def test_threads_get_the_answers_that_they_would_get_alone(here: Settings) -> None:
    model = SpeechText("tried", *build(here, "hubert-large", layers="weighted"))
    alone = probabilities(model.predict([taken_for_speech(clip) for clip in CLIPS]))
    model.clear_cache()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda clip: model.predict([taken_for_speech(clip)])[0], CLIPS))
    np.testing.assert_allclose(probabilities(together), alone, atol=1e-4)


def test_little_of_a_batch_is_padding() -> None:
    lengths = [int(n) for n in np.random.default_rng(0).uniform(0.4, 12, 200) * RATE]
    groups = length_groups(lengths)
    assert sorted(row for group in groups for row in group) == list(range(200))
    padded = sum(len(group) * max(lengths[row] for row in group) for group in groups)
    assert 1 - sum(lengths) / padded < 0.2
    assert len(groups) < 40
    assert length_groups([]) == []


# --- what is left out


def test_left_out_is_a_zero_vector(here: Settings) -> None:
    network, processor = build(here)
    linear: Any = network.classifier
    speech = speech_states(network, processor, CLIPS[:2])
    text = text_states(network, processor, ["dogs", ""])
    assert speech is not None and text is not None
    assert text[0].any() and not text[1].any()
    scores = network.classify(speech, text)
    expected = speech[1, 0] @ linear.weight[:, :16].T + linear.bias
    torch.testing.assert_close(scores[1], expected)
    torch.testing.assert_close(network.classify(speech, None)[1], expected)
    torch.testing.assert_close(logits((network, processor), CLIPS[:2], ["dogs", ""]), scores, atol=1e-5, rtol=0)
    words = text[0] @ linear.weight[:, 16:].T + linear.bias
    torch.testing.assert_close(network.classify(None, text)[0], words)
    with pytest.raises(ValueError, match="Neither"):
        network.classify(None, None)


def test_without_transcripts_it_works(here: Settings) -> None:
    model = SpeechText("tried", *build(here))
    batch = [taken_for_speech(clip) for clip in CLIPS]
    np.testing.assert_array_equal(
        probabilities(model.predict(batch)), probabilities(model.predict(batch, [said("")] * len(batch)))
    )
    words = probabilities(model.predict(batch, [said("dogs by the door")] * len(batch)))
    assert np.abs(words - probabilities(model.predict(batch))).max() > 0.01


def test_text_dropout_leaves_words_out_in_training_only(here: Settings) -> None:
    network, _ = build(here, text_dropout=0.4, speech_dropout=0.3, head_dropout=0.0)
    speech, text = torch.ones(2000, 1, 16), torch.ones(2000, 12)
    torch.testing.assert_close(network.eval().classify(speech, text), network.classify(speech, text))
    whole, no_text, no_speech = (
        network.classify(some, other)[0] for some, other in ((speech, text), (speech, None), (None, text))
    )
    torch.manual_seed(0)
    trained = network.train().classify(speech, text)
    for expected, share in ((whole, 0.3), (no_text, 0.4), (no_speech, 0.3)):
        like = torch.isclose(trained, expected, atol=1e-5).all(dim=1)
        assert like.float().mean().item() == pytest.approx(share, abs=0.04)


def test_modalities_are_the_answers_of_the_parts(here: Settings) -> None:
    model = SpeechText("tried", *build(here))
    one, other = taken_for_speech(CLIPS[1]), taken_for_speech(CLIPS[3])
    prediction, second, silent, empty = model.predict(
        [one, other, one, one], [said("dogs"), said("dogs"), None, said(" ")]
    )
    modalities = prediction.modalities
    assert list(modalities) == ["audio", "text", "fused"] and modalities["fused"] is prediction.scores
    np.testing.assert_allclose(modalities["audio"].probabilities, silent.scores.probabilities, atol=1e-6)
    np.testing.assert_allclose(modalities["text"].probabilities, second.modalities["text"].probabilities, atol=1e-6)
    assert list(silent.modalities) == list(empty.modalities) == ["audio", "fused"]


def test_edited_words_are_scored_without_hearing_the_speech_again(here: Settings) -> None:
    model = SpeechText("tried", *build(here))
    runs: list[int] = []
    assert model.network.speech is not None
    model.network.speech.encoder.register_forward_hook(lambda *_: runs.append(1))
    one, copy = taken_for_speech(CLIPS[1]), taken_for_speech(CLIPS[1].copy())
    first = model.predict([one], [said("dogs")])[0].scores
    edited = model.predict([copy], [said("kids are talking")])[0].scores
    assert len(runs) == 1
    assert np.abs(first.probabilities - edited.probabilities).max() > 0.001
    model.predict([taken_for_speech(CLIPS[2])])
    assert len(runs) == 2
    model.clear_cache()
    np.testing.assert_allclose(
        model.predict([one], [said("kids are talking")])[0].scores.probabilities, edited.probabilities, atol=1e-6
    )
    assert len(runs) == 3


@pytest.mark.parametrize(("kind", "text"), [("wavlm", None), (None, "bert")])
def test_a_standalone_encoder_is_the_same_with_a_part_left_out(
    kind: str | None, text: str | None, here: Settings, tmp_path: Path
) -> None:
    model = SpeechText("alone", *build(here, kind, text, head="two-layer", hidden=4))
    assert (model.uses_audio, model.uses_text) == (kind is not None, text is not None)
    batch, words = [taken_for_speech(clip) for clip in CLIPS[:2]], [said("dogs"), said("kids talking")]
    scores = probabilities(model.predict(batch, words))
    assert np.abs(scores[0] - scores[1]).max() > 0.001
    silent = probabilities(model.predict(batch))
    assert np.array_equal(silent, scores) == (text is None)
    assert not model.predict(batch, words)[0].modalities
    model.save(tmp_path)
    np.testing.assert_allclose(probabilities(SpeechText.load(tmp_path, here).predict(batch, words)), scores, atol=1e-6)


def test_a_network_of_nothing_is_refused(here: Settings) -> None:
    with pytest.raises(InvalidSettings, match="needs an encoder"):
        build(here, None, None)
