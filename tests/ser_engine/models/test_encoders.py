"""Encoders are found, checked and loaded by the code that users run, from tiny checkpoints on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2FeatureExtractor

from ser_engine import Settings
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.features.encoder import compute_hidden_states
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import Kind, load_encoder, load_feature_extractor, load_tokenizer
from ser_engine.models.pooled_encoders import pooled_encoder
from ser_engine.models.whisper import shared_whisper
from tests.ser_engine.models.tiny_encoders import SPEECH, speech_model, write_speech, write_text
from tests.speech import RATE, speech

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return replace(Settings(), models_dir=tmp_path_factory.mktemp("models"))


def load(folder: Path | str, kind: Kind, settings: Settings, **options: Any) -> Any:
    return load_encoder(EncoderReference.parse(str(folder)), kind, settings, **options)[0]


# --- names


def test_names_are_read() -> None:
    assert EncoderReference.parse(f"owner/model@{COMMIT}") == EncoderReference("owner/model", COMMIT)
    assert EncoderReference.parse("owner/model").revision == ""
    assert EncoderReference.parse("bert-base-uncased").id == "google-bert/bert-base-uncased"


def test_a_folder_may_have_an_at_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "me@home").mkdir()
    assert EncoderReference.parse(str(tmp_path / "me@home")).id == str(tmp_path / "me@home")
    assert EncoderReference.parse(str(tmp_path / "me@home" / "bert")).revision == ""


@pytest.mark.parametrize("name", ["owner/model@main", "owner/model@0123", f"owner/model@{COMMIT}f", "owner/model@", ""])
def test_what_is_not_pinned_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettings, match=r"\.$"):
        EncoderReference.parse(name)


# --- what is loaded is what was written


@pytest.mark.parametrize("kind", SPEECH)
def test_an_encoder_of_speech_has_the_tensors_of_its_file(kind: str, here: Settings, tmp_path: Path) -> None:
    encoder = load(write_speech(tmp_path, kind), "speech", here)
    whole: Any = speech_model(kind)
    expected = whole.model.encoder if kind == "whisper" else getattr(whole, "wav2vec2", whole)
    state = encoder.state_dict()
    assert set(state) == set(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert not encoder.training


@pytest.mark.parametrize("kind", ["hubert", "wav2vec2", "wavlm-large"])
@pytest.mark.parametrize("all_layers", [False, True])
def test_what_is_pooled_is_what_the_library_computes(
    kind: str, all_layers: bool, here: Settings, tmp_path: Path
) -> None:
    encoder = load(write_speech(tmp_path, kind), "speech", here)
    samples = torch.from_numpy(speech()[None, :RATE])
    with torch.no_grad():
        out = encoder(samples, output_hidden_states=True)
        expected = [out.last_hidden_state]
        if all_layers:
            expected = [*out.hidden_states, *(expected if "large" in kind else [])]
        pooled = pooled_encoder(encoder, all_layers)(samples, [RATE])
    assert pooled.shape[1] == len(expected)
    torch.testing.assert_close(pooled[0], torch.stack([state[0].mean(dim=0) for state in expected]))


def test_whisper_computes_what_the_library_computes_in_a_full_window(here: Settings, tmp_path: Path) -> None:
    from whisper.audio import log_mel_spectrogram

    encoder = load(write_speech(tmp_path, "whisper"), "speech", here)
    samples = torch.from_numpy(speech()[None, : 2 * RATE])  # its hundred positions are two seconds
    with torch.no_grad():
        out = encoder(log_mel_spectrogram(samples), output_hidden_states=True)
        pooled = pooled_encoder(encoder, True)(samples, [2 * RATE])
    torch.testing.assert_close(pooled[0, -1], out.last_hidden_state[0].mean(dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pooled[0, 1], out.hidden_states[1][0].mean(dim=0), atol=1e-5, rtol=1e-4)


def test_the_bundled_whisper_says_what_our_features_say(settings: Settings) -> None:
    clip = speech()[: 2 * RATE]
    encoder = load("whisper-base", "speech", settings)
    with torch.no_grad():
        pooled = pooled_encoder(encoder, True)(torch.from_numpy(clip[None]), [len(clip)])
        expected = compute_hidden_states(shared_whisper(settings).encoder, clip[None]).mean(dim=2)
    assert pooled.shape == (1, 8, 512)
    torch.testing.assert_close(pooled, expected, atol=2e-4, rtol=1e-3)


def test_the_bundled_whisper_is_in_memory_once_unless_it_is_trained(settings: Settings) -> None:
    ours = shared_whisper(settings).encoder.blocks[0].attn.query.weight
    frozen = load("whisper-base", "speech", settings).layers[0].self_attn.q_proj.weight
    trained = load("whisper-base", "speech", settings, shared=False).layers[0].self_attn.q_proj.weight
    assert frozen.data_ptr() == ours.data_ptr() != trained.data_ptr()
    assert not ours.requires_grad


@pytest.mark.parametrize("kind", ["bert", "bert-heads", "roberta"])
def test_a_text_encoder_goes_without_heads(kind: str, here: Settings, tmp_path: Path) -> None:
    encoder = load(write_text(tmp_path, kind), "text", here)
    names = set(encoder.state_dict())
    assert any("attention" in name for name in names)
    assert not any("pooler" in name or "cls" in name for name in names)
    stored = load_file(tmp_path / "model.safetensors")
    name = next(name for name in stored if name.endswith("word_embeddings.weight"))
    assert torch.equal(encoder.embeddings.word_embeddings.weight, stored[name])


def test_names_of_old_checkpoints_are_understood(here: Settings, tmp_path: Path) -> None:
    """The hub's HuBERT stores its weight norm under older names, in PyTorch's own format."""
    state = write_speech(tmp_path, "hubert") and load_file(tmp_path / "model.safetensors")
    plain = load(tmp_path, "speech", here).state_dict()
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in state.items()
    }
    (tmp_path / "model.safetensors").unlink()
    torch.save(old, tmp_path / "pytorch_model.bin")
    for name, tensor in load(tmp_path, "speech", here).state_dict().items():
        assert torch.equal(tensor, plain[name])


def test_an_encoders_own_config_can_be_changed(here: Settings, tmp_path: Path) -> None:
    write_speech(tmp_path)
    encoder = load(tmp_path, "speech", here, overrides={"layerdrop": 0.0, "mask_time_prob": 0.3})
    assert (encoder.config.layerdrop, encoder.config.mask_time_prob) == (0.0, 0.3)
    with pytest.raises(InvalidSettings, match="no entry “layer_drop”"):
        load(tmp_path, "speech", here, overrides={"layer_drop": 0.0})


def test_feature_extractors(here: Settings, tmp_path: Path) -> None:
    ours = load_feature_extractor(EncoderReference(str(write_speech(tmp_path / "hubert"))), here)
    assert ours.do_normalize and ours.return_attention_mask
    whisper = load_feature_extractor(EncoderReference(str(write_speech(tmp_path / "whisper", "whisper"))), here)
    assert isinstance(whisper, Wav2Vec2FeatureExtractor) and not whisper.do_normalize
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(tmp_path / "hubert")
    with pytest.raises(WeightsUnavailable, match="does not take samples at 16 kHz"):
        load_feature_extractor(EncoderReference(str(tmp_path / "hubert")), here)


def test_a_tokenizer_cuts_what_the_encoder_has_no_positions_for(here: Settings, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(EncoderReference(str(write_text(tmp_path))), here)
    assert len(tokenizer("dogs " * 100, truncation=True)["input_ids"]) == 22


# --- where encoders are looked for


def test_a_folder_is_pinned_by_its_checksum(here: Settings, tmp_path: Path) -> None:
    first, other = write_speech(tmp_path / "a"), write_speech(tmp_path / "b", "wavlm")
    _, pinned = load_encoder(EncoderReference(str(first)), "speech", here)
    assert len(pinned.sha256) == 64
    assert load_encoder(pinned, "speech", here)[1] == pinned
    with pytest.raises(WeightsUnavailable, match=r"not the one that the model was trained on: its checksum differs\.$"):
        load_encoder(replace(pinned, id=str(other)), "speech", here)


def test_weights_in_several_files_are_pinned_too(here: Settings, tmp_path: Path) -> None:
    speech_model("hubert").save_pretrained(tmp_path, max_shard_size="20KB")
    files = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(files) > 1
    _, pinned = load_encoder(EncoderReference(str(tmp_path)), "speech", here)
    state = {name: tensor + 1 for name, tensor in load_file(files[-1]).items()}
    save_file(state, files[-1], {"format": "pt"})
    with pytest.raises(WeightsUnavailable, match="checksum differs"):
        load_encoder(pinned, "speech", here)


def test_the_bundled_whisper_is_pinned_too(settings: Settings) -> None:
    _, pinned = load_encoder(EncoderReference("whisper-base"), "speech", settings)
    assert len(pinned.sha256) == 64
    with pytest.raises(WeightsUnavailable, match="whisper-base is not the one"):
        load_encoder(replace(pinned, sha256="0" * 64), "speech", settings)


@pytest.mark.parametrize("place", ["encoders/owner/model", "owner/model"])
def test_a_hubs_encoder_may_lie_among_our_models(place: str, here: Settings) -> None:
    write_speech(here.models_dir / place)
    reference = EncoderReference("owner/model")  # no commit: the checksum stands for it
    assert load_encoder(reference, "speech", here)[1].sha256
    shutil.rmtree(here.models_dir / place)


def test_a_folder_that_was_moved_is_found_by_its_name(here: Settings, tmp_path: Path) -> None:
    _, pinned = load_encoder(EncoderReference(str(write_text(tmp_path / "my-bert"))), "text", here)
    (tmp_path / "my-bert").rename(here.models_dir / "elsewhere")
    with pytest.raises(WeightsUnavailable, match=r"There is no encoder .*encoders/my-bert"):
        load_encoder(pinned, "text", here)
    shutil.copytree(here.models_dir / "elsewhere", here.models_dir / "encoders" / "my-bert")
    assert load_encoder(pinned, "text", here)[1] == pinned


def test_what_may_not_be_fetched_is_said(here: Settings) -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        load(f"facebook/hubert-base-ls960@{COMMIT}", "speech", here)
    place = here.models_dir / "encoders" / "facebook" / "hubert-base-ls960"
    assert str(caught.value) == (
        "The encoder facebook/hubert-base-ls960 is not on this computer: set SER_ALLOW_DOWNLOAD=yes to have it "
        f"downloaded from huggingface.co, or put its files into {place}."
    )


def test_a_cached_encoder_is_used_without_a_network(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--owner--cached"
    write_speech(repository / "snapshots" / COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder, pinned = load_encoder(EncoderReference.parse(f"owner/cached@{COMMIT}"), "speech", here)
    assert encoder.config.model_type == "hubert"
    assert pinned.revision == COMMIT and len(pinned.sha256) == 64
    # The same files in a folder of ours are the same encoder, and others are not.
    place = here.models_dir / "encoders" / "owner" / "cached"
    shutil.copytree(repository / "snapshots" / COMMIT, place)
    assert load_encoder(pinned, "speech", here)[1] == pinned
    write_speech(place, "wavlm")
    with pytest.raises(WeightsUnavailable, match="checksum differs"):
        load_encoder(pinned, "speech", here)


# --- what is refused


def _drop(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["encoder.layers.1.attention.q_proj.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def _edit(**entries: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | entries), encoding="utf-8")

    return edit


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a tensor is missing": (_drop, "is incomplete or of another kind: encoder.layers.1.attention.q_proj.weight"),
    "another width": (_edit(intermediate_size=30), "cannot be read|is incomplete or of another kind"),
    "more layers than stored": (_edit(num_hidden_layers=4), "is incomplete"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
    "half of the weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:9000]),
        "cannot be read",
    ),
    "no config that can be read": (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
    "a kind that nobody knows": (_edit(model_type="nothing"), "cannot be read"),
    "an adapter": (lambda folder: write_speech(folder, "wav2vec2") and _edit(add_adapter=True)(folder), "adapter"),
    "a text encoder": (write_text, "is no encoder of speech"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_encoder_is_one_sentence(kind: str, here: Settings, tmp_path: Path) -> None:
    breaks, message = BROKEN[kind]
    breaks(write_speech(tmp_path))
    with pytest.raises(WeightsUnavailable, match=message) as caught:
        load(tmp_path, "speech", here)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_what_cannot_read_is_no_text_encoder(here: Settings, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="is no encoder of text"):
        load(write_speech(tmp_path / "hubert"), "text", here)
    with pytest.raises(WeightsUnavailable, match="is no encoder of text"):
        load(write_speech(tmp_path / "whisper", "whisper"), "text", here)


def test_code_that_comes_with_a_checkpoint_is_never_run(here: Settings, tmp_path: Path) -> None:
    folder, trace = write_text(tmp_path / "bert"), tmp_path / "it ran"
    (folder / "own.py").write_text(f"open({str(trace)!r}, 'w')\nfrom transformers import BertConfig as Own\n")
    _edit(model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"})(folder)
    with pytest.raises(WeightsUnavailable):
        load(folder, "text", here)
    assert not trace.exists()


def test_a_tokenizer_that_cannot_pad_is_refused(here: Settings, tmp_path: Path) -> None:
    write_text(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    entries = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(entries | {"pad_token": None}), encoding="utf-8")
    with pytest.raises(WeightsUnavailable, match="cannot pad"):
        load_tokenizer(EncoderReference(str(tmp_path)), here)


def test_loading_leaves_transformers_reports_as_they_were(here: Settings, tmp_path: Path) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    load(write_speech(tmp_path), "speech", here)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
