"""Whisper's weights: bundled in 8 bits, and OpenAI's own checkpoints."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.store import read_tensors, sha256
from ser_engine.models.whisper import load_whisper, shared_whisper
from ser_engine.settings import WHISPER_SIZES, Settings
from tools.bundle_whisper import FLOAT16, write_whisper

DIMS = {
    "n_mels": 8,
    "n_audio_ctx": 10,
    "n_audio_state": 64,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_vocab": 90,
    "n_text_ctx": 12,
    "n_text_state": 64,
    "n_text_head": 2,
    "n_text_layer": 1,
}


def tiny_state(dims: dict[str, int] = DIMS) -> dict[str, torch.Tensor]:
    """Return the float16 state dict of a Whisper of chance."""
    torch.manual_seed(0)
    model = Whisper(ModelDimensions(**dims))
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
    return {name: tensor.half() for name, tensor in model.state_dict().items()}


@pytest.fixture
def bundled(nowhere) -> Settings:
    write_whisper(nowhere.models_dir / "whisper-base", tiny_state(), DIMS, "a test")
    return nowhere


def outputs(model: Whisper) -> torch.Tensor:
    """Run the whole network; the causal mask, the positions and all weights have a part in the result."""
    generator = torch.Generator().manual_seed(1)
    mel = torch.randn(1, DIMS["n_mels"], 2 * DIMS["n_audio_ctx"], generator=generator)
    with torch.inference_mode():
        return model(mel, torch.tensor([[1, 5, 2, 80]]))


def test_the_bundled_folder_says_what_it_is(bundled):
    folder = bundled.models_dir / "whisper-base"
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "config.json", "model.safetensors"]
    assert "MIT License" in (folder / "LICENSE").read_text()
    config = json.loads((folder / "config.json").read_text())
    assert config["dims"] == DIMS
    assert config["source"] == "a test"
    assert config["quantization"]["float16"] == list(FLOAT16)
    assert config["weights"]["model.safetensors"] == sha256(folder / "model.safetensors")
    float16 = sum(tensor.numel() * 2 for tensor in tiny_state().values())
    assert (folder / "model.safetensors").stat().st_size < 0.75 * float16


def test_the_bundled_whisper_computes_what_its_weights_say(bundled):
    model = load_whisper(bundled)
    assert not model.training
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())

    plain = Whisper(ModelDimensions(**DIMS))
    plain.load_state_dict(read_tensors(bundled.models_dir / "whisper-base"))
    assert torch.equal(outputs(model), outputs(plain.eval()))
    assert torch.equal(model.alignment_heads.to_dense(), plain.alignment_heads.to_dense())

    exact = Whisper(ModelDimensions(**DIMS))
    exact.load_state_dict(tiny_state())
    reference = outputs(exact.eval())
    assert 0 < (outputs(model) - reference).norm() < 0.02 * reference.norm()


def test_building_draws_no_random_numbers(bundled):
    state = torch.get_rng_state()
    load_whisper(bundled)
    assert torch.equal(torch.get_rng_state(), state)
    before = Whisper(ModelDimensions(**DIMS)).encoder.conv1.weight
    assert before.std() > 0  # and models that are built afterwards are initialised as ever
    assert not torch.equal(torch.get_rng_state(), state)


def test_all_who_ask_share_one_whisper(bundled):
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: shared_whisper(bundled), range(8)))
    assert len({id(model) for model in models}) == 1


def test_a_bundled_whisper_that_is_missing_is_named(nowhere):
    with pytest.raises(WeightsUnavailable, match="whisper-base holds no model"):
        load_whisper(nowhere)


def official(folder: Path, dims: dict[str, int] = DIMS) -> bytes:
    """Return the bytes of a checkpoint as OpenAI publishes them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": dims, "model_state_dict": tiny_state(dims)}, folder / "made.pt")
    return (folder / "made.pt").read_bytes()


def table(body: bytes, address: str = "http://127.0.0.1:9") -> dict[str, str]:
    """Return a table of addresses as openai-whisper's, for one size; nothing listens at the default."""
    return {"turbo": f"{address}/models/{hashlib.sha256(body).hexdigest()}/large-v3-turbo.pt"}


def test_a_file_in_whispers_cache_is_used_without_network(nowhere, tmp_path, monkeypatch):
    body = official(tmp_path)
    nowhere.whisper_dir.mkdir()
    (nowhere.whisper_dir / "large-v3-turbo.pt").write_bytes(body)
    monkeypatch.setattr(whisper, "_MODELS", table(body))
    model = load_whisper(replace(nowhere, whisper="turbo", allow_download=True))
    exact = Whisper(ModelDimensions(**DIMS))
    exact.load_state_dict(tiny_state())
    assert torch.equal(outputs(model), outputs(exact.eval()))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_the_heads_for_word_times_are_the_official_ones(nowhere, tmp_path, monkeypatch):
    """Turbo has 4 decoder layers of 20 heads; so has this one, a narrow one."""
    body = official(tmp_path, DIMS | {"n_text_state": 80, "n_audio_state": 80, "n_text_layer": 4, "n_text_head": 20})
    nowhere.whisper_dir.mkdir()
    (nowhere.whisper_dir / "large-v3-turbo.pt").write_bytes(body)
    monkeypatch.setattr(whisper, "_MODELS", table(body))
    model = load_whisper(replace(nowhere, whisper="turbo"))
    assert model.alignment_heads.to_dense().sum() == 6  # the general choice would be 40


def test_without_leave_nothing_is_fetched_and_the_ways_out_are_said(nowhere, server, monkeypatch):
    urls = table(server.body, server.address)
    monkeypatch.setattr(whisper, "_MODELS", urls)
    with pytest.raises(WeightsUnavailable) as caught:
        load_whisper(replace(nowhere, whisper="turbo"))
    for hint in ("turbo", "SER_ALLOW_DOWNLOAD=1", urls["turbo"], str(nowhere.whisper_dir)):
        assert hint in str(caught.value)
    nowhere.whisper_dir.mkdir()
    (nowhere.whisper_dir / "large-v3-turbo.pt").write_bytes(b"half a file")
    with pytest.raises(WeightsUnavailable, match=r"large-v3-turbo\.pt is damaged.*SER_ALLOW_DOWNLOAD=1"):
        load_whisper(replace(nowhere, whisper="turbo"))
    assert server.ranges == []


def test_with_leave_a_missing_or_damaged_file_is_fetched(nowhere, server, tmp_path, monkeypatch):
    server.body = official(tmp_path)
    monkeypatch.setattr(whisper, "_MODELS", table(server.body, server.address))
    allowed = replace(nowhere, whisper="turbo", allow_download=True)
    assert load_whisper(allowed).dims.n_vocab == DIMS["n_vocab"]
    file = nowhere.whisper_dir / "large-v3-turbo.pt"
    file.write_bytes(b"damaged")
    reported: list[tuple[int, int]] = []
    load_whisper(allowed, lambda done, total: reported.append((done, total)))
    assert file.read_bytes() == server.body
    assert reported[-1] == (len(server.body), len(server.body))
    assert len(server.ranges) == 2


def test_every_size_of_the_settings_has_an_official_file():
    for size in WHISPER_SIZES:
        assert re.search(r"^https://\S+/[0-9a-f]{64}/[\w.-]+\.pt$", whisper._MODELS[size]), size
        assert size in whisper._ALIGNMENT_HEADS
