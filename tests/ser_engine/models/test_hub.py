"""Any model of Transformers: loaded by the words that people type, offline from folders, or from a hub of our own."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from safetensors.torch import load_file, save_file

from ser_engine import Settings
from ser_engine.cli.main import main
from ser_engine.errors import WeightsUnavailable
from ser_engine.models import registry
from ser_engine.models.base import Model
from ser_engine.models.hub import HubModel
from ser_engine.types import SAMPLE_RATE
from tests.speech import speech, speech_wav, taken_for_speech

FOUR = ("neu", "hap", "ang", "sad")

WAVES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_stride": (5, 4, 4),
    "conv_kernel": (10, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
    "initializer_range": 0.3,  # so that what is heard makes a difference
}
WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "max_source_positions": 300,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "classifier_proj_size": 8,
    "init_std": 0.3,
}
AST: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_length": 256,
    "num_mel_bins": 32,
    "initializer_range": 0.3,
}


def made(kind: str, labels: tuple[str, ...] = FOUR, seed: int = 0) -> tuple[Any, Any]:
    """Return a tiny random classifier and its feature extractor, as different from each other as the real ones are."""
    named: dict[str, Any] = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    torch.manual_seed(seed)
    if kind == "hubert":  # as hubert-base: normalises over time, without a mask
        model = t.HubertForSequenceClassification(t.HubertConfig(**WAVES, **named))
        extractor = t.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    elif kind == "wav2vec2":  # as the large ones: with a mask, weighing its layers
        config = t.Wav2Vec2Config(
            **WAVES, **named, feat_extract_norm="layer", do_stable_layer_norm=True, use_weighted_layer_sum=True
        )
        model = t.Wav2Vec2ForSequenceClassification(config)
        extractor = t.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    elif kind == "wavlm":
        model = t.WavLMForSequenceClassification(t.WavLMConfig(**WAVES, **named))
        extractor = t.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    elif kind == "whisper":
        model = t.WhisperForAudioClassification(t.WhisperConfig(**WHISPER, **named))
        extractor = t.WhisperFeatureExtractor(chunk_length=6)
    else:
        model = t.ASTForAudioClassification(t.ASTConfig(**AST, **named))
        extractor = t.ASTFeatureExtractor(max_length=256, num_mel_bins=32)
    return model, extractor


KINDS = ("hubert", "wav2vec2", "wavlm", "whisper", "ast")


def checkpoint(folder: Path, kind: str = "hubert", labels: tuple[str, ...] = FOUR, seed: int = 0) -> Path:
    """Write a tiny random checkpoint as its makers would; the same one for the same words."""
    shutil.copytree(_written(kind, labels, seed).name, folder, dirs_exist_ok=True)
    return folder


@cache
def _written(kind: str, labels: tuple[str, ...], seed: int) -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="checkpoint")
    for part in made(kind, labels, seed):
        part.save_pretrained(folder.name)
    return folder


def edit(folder: Path, name: str = "config.json", **entries: Any) -> None:
    """Change entries of a JSON file; None takes one out."""
    path = folder / name
    changed = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))


CLIPS = [
    taken_for_speech(samples)
    for samples in (
        speech(),
        speech()[:20_000],
        speech(voice="woman")[: len(speech())],
        0.3 * speech(voice="woman")[:30_000],
        speech()[8000:28_000],
    )
]


def load(folder: Path) -> Model:
    """Load a model by the words that people type."""
    settings = Settings(model=f"hf:{folder}")
    return registry.load_model(registry.find_model(settings), settings)


def one_sentence(error: Exception) -> None:
    assert "\n" not in str(error) and str(error)[-1] in ".?" and "Traceback" not in str(error)


pytestmark = pytest.mark.usefixtures("one_thread")


# --- what it answers


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_as_transformers_itself_does(kind: str, tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path / "tiny", kind))
    assert isinstance(model, HubModel)
    assert (model.id, model.labels) == ("tiny", ("neutral", "happy", "sad", "angry"))
    theirs, extractor = made(kind)
    heard = []
    for clip, prediction in zip(CLIPS, model.predict(CLIPS), strict=True):
        scores = prediction.scores
        given = extractor(clip.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            neutral, happy, angry, sad = theirs.eval()(**given).logits.softmax(dim=1)[0].tolist()
        assert scores.probabilities == pytest.approx([neutral, happy, sad, angry], abs=1e-5)
        assert scores.probabilities.dtype == np.float32
        heard.append(scores.probabilities)
    assert np.ptp(heard, axis=0).max() > 0.01  # so that the comparison compares something


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_scores_the_same_alone_in_any_batch_and_in_any_thread(kind: str, tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path / "tiny", kind))
    alone = [model.predict([clip])[0].scores.probabilities for clip in CLIPS]
    many = CLIPS[::-1] + CLIPS * 3
    together = [prediction.scores.probabilities for prediction in model.predict(many)]
    for found, expected in zip(together, alone[::-1] + alone * 3, strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(model.predict, [CLIPS] * 4):
            for prediction, expected in zip(found, alone, strict=True):
                assert prediction.scores.probabilities == pytest.approx(expected, abs=1e-5)
    assert model.predict([]) == []


def test_the_whole_way_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoint(tmp_path / "tiny", labels=("male_angry", "female_angry", "sur", "bored"))
    (tmp_path / "long.wav").write_bytes(speech_wav("Kids are talking by the door. It is eleven o'clock. " * 3))
    capsys.readouterr()
    arguments = ["analyze", "--json", "--no-transcript", "--model", f"hf:{folder}", str(tmp_path / "long.wav")]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""  # neither bars nor warnings of Transformers
    answer = json.loads(out)
    assert answer["model"] == "tiny" and list(answer["scores"]) == ["angry", "surprised", "bored"]
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert len(answer["timeline"]) > 2 and set(answer["timeline"][0]["scores"]) == set(answer["scores"])
    assert main([*arguments[:4], f"hf:{tmp_path / 'nowhere'}", arguments[-1]]) == 2
    assert capsys.readouterr().err == f"There is no folder {tmp_path / 'nowhere'}.\n"


def test_weights_in_half_precision_are_computed_with_in_full(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "half")
    halves = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    edit(folder, dtype="float16")
    model = load(folder)
    assert isinstance(model, HubModel)
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.float32}
    assert not model.model.training
    expected = load(checkpoint(tmp_path / "full")).predict(CLIPS[:1])[0].scores.probabilities
    assert model.predict(CLIPS[:1])[0].scores.probabilities == pytest.approx(expected, abs=1e-2)


def test_checkpoints_of_old_versions_are_read(tmp_path: Path) -> None:
    """Public models of 2021 are pickles, and name the positional convolution's weights otherwise."""
    folder, expected = checkpoint(tmp_path / "old"), load(checkpoint(tmp_path / "new")).predict(CLIPS[:1])
    old = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for new, former in (("original0", "weight_g"), ("original1", "weight_v")):
            name = name.replace(f"parametrizations.weight.{new}", former)
        old[name] = tensor
    assert any(name.endswith("weight_g") for name in old)
    (folder / "model.safetensors").unlink()
    torch.save(old, folder / "pytorch_model.bin")
    assert load(folder).predict(CLIPS[:1])[0].scores.probabilities == pytest.approx(
        expected[0].scores.probabilities, abs=1e-6
    )


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path / "tiny", "whisper"))
    model.save(tmp_path / "models" / "mine")
    assert sorted(file.name for file in (tmp_path / "models").rglob("*") if file.is_file()) == [
        "config.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    settings = Settings(models_dir=tmp_path / "models", model="mine")
    again = registry.load_model(registry.find_model(settings), settings)
    assert (again.id, again.labels) == ("mine", model.labels)
    assert again.predict(CLIPS[:1])[0].scores.probabilities == pytest.approx(
        model.predict(CLIPS[:1])[0].scores.probabilities
    )


# --- what is refused


def _bare(folder: Path) -> None:
    shutil.rmtree(folder)
    model, extractor = made("hubert")
    model.hubert.save_pretrained(folder)
    extractor.save_pretrained(folder)


def _speech_recogniser(folder: Path) -> None:
    torch.manual_seed(0)
    t.HubertForCTC(t.HubertConfig(**WAVES, vocab_size=9)).save_pretrained(folder)


def _text(folder: Path) -> None:
    small = t.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=4
    )
    t.BertForSequenceClassification(small).save_pretrained(folder)


def _without(*names: str) -> Any:
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in tensors.items() if not any(part in name for part in names)}
        assert len(kept) < len(tensors)
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    return change


def _head_of_its_own(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "norm.weight": torch.ones(8)}, folder / "model.safetensors", {"format": "pt"})


def _another_size(folder: Path) -> None:
    edit(folder, id2label={str(i): f"L{i}" for i in range(7)}, label2id=None)


def _code_of_its_own(folder: Path) -> None:
    edit(folder, model_type="mine", auto_map={"AutoConfig": "mine.Config", "AutoModelForAudioClassification": "mine.M"})
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _evil_pickle(folder: Path) -> None:
    _no_weights(folder)
    torch.save({"classifier.weight": Path("/")}, folder / "pytorch_model.bin")


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n")


def _halved(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


REFUSED: list[tuple[Any, str]] = [
    (_bare, "tiny holds no classifier that HubertForSequenceClassification knows .* fine-tuned for audio"),
    (_speech_recogniser, "holds no classifier that HubertForSequenceClassification knows"),
    (_without("classifier."), r"holds no classifier that .* \(classifier.bias is missing\)"),
    (_without("layers.1.attention"), r"lacks a part of its encoder \(hubert.encoder.layers.1"),
    (_head_of_its_own, r"made with a head of its own \(norm.weight\)"),
    (_text, r"no audio classifier, but a model of another kind \(BertForSequenceClassification\)"),
    (_another_size, "The weights of tiny do not fit its config.json"),
    (_code_of_its_own, "comes with code of its own, which is never run"),
    (lambda folder: edit(folder, model_type="hyperbert"), r"this version of Transformers cannot make \(hyperbert\)"),
    (lambda folder: edit(folder, problem_type="regression"), "does not choose one of several labels"),
    (lambda folder: (folder / "config.json").unlink(), "holds no model: there is no config.json in it"),
    (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
    (lambda folder: (folder / "preprocessor_config.json").unlink(), "tiny has no preprocessor_config.json"),
    (
        lambda folder: (folder / "preprocessor_config.json").write_text("{"),
        "preprocessor_config.json of tiny cannot be",
    ),
    (lambda folder: edit(folder, "preprocessor_config.json", sampling_rate=8000), "tiny expects 8000 Hz"),
    (_no_weights, "tiny has no weights: there is no model.safetensors"),
    (_evil_pickle, "weights of tiny are damaged, .* or hold more than tensors; delete .*tiny and download"),
    (_pointer, "weights of tiny are damaged, are only a git-lfs pointer"),
    (_halved, "weights of tiny are damaged"),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=[sentence[:40] for _, sentence in REFUSED])
def test_what_cannot_be_trusted_is_refused_in_one_sentence(change: Any, sentence: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "tiny")
    change(folder)
    with pytest.raises(WeightsUnavailable, match=sentence) as caught:
        load(folder)
    one_sentence(caught.value)
    assert not (folder / "ran").exists()


def test_code_beside_a_known_kind_is_not_run_either(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "tiny")
    edit(folder, auto_map={"AutoModelForAudioClassification": "mine.Model", "AutoFeatureExtractor": "mine.Extractor"})
    edit(folder, "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "mine.Extractor"})
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    model = load(folder)
    assert isinstance(model, HubModel) and isinstance(model.model, t.HubertForSequenceClassification)
    assert not (folder / "ran").exists()


def test_features_that_the_model_cannot_take_are_told(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "tiny", "whisper")
    edit(folder, "preprocessor_config.json", chunk_length=3, n_samples=None, nb_max_frames=None)
    with pytest.raises(WeightsUnavailable, match="tiny could not score the recording: Whisper expects") as caught:
        load(folder).predict(CLIPS[:1])
    one_sentence(caught.value)


def test_the_tensor_that_only_training_uses_may_be_missing(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "tiny")
    _without("masked_spec_embed")(folder)
    assert load(folder).predict(CLIPS[:1])[0].scores.labels
