"""Model folders: written, read back, verified."""

import hashlib
import os
import re
from pathlib import Path

import pytest
import torch

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.store import read_config, read_tensors, sha256, verify, write_config, write_tensors
from ser_engine.settings import PROJECT


def shipped(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **config: object) -> Path:
    """Write a folder as models/ holds them."""
    checksum = write_tensors(folder, tensors or {"w": torch.arange(4.0)})
    write_config(folder, {**config, "weights": {"model.safetensors": checksum}})
    return folder


def test_what_is_written_is_read_back(tmp_path):
    tensors = {"head": torch.randn(3, 5).half(), "view": torch.randn(4, 6).T, "count": torch.tensor(7)}
    folder = shipped(tmp_path / "new" / "model", tensors, id="é")
    file = folder / "model.safetensors"
    assert read_config(folder)["weights"]["model.safetensors"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert read_config(folder)["id"] == "é"
    back = read_tensors(folder)
    assert back["head"].dtype == torch.float32
    assert all(torch.equal(back[name], tensor.to(back[name].dtype)) for name, tensor in tensors.items())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())  # for whoever runs the page, too


def test_a_write_that_fails_leaves_the_old_weights_and_nothing_else(tmp_path):
    folder = shipped(tmp_path / "model")
    twice = torch.ones(4)
    with pytest.raises(RuntimeError):  # safetensors refuses memory that two names share
        write_tensors(folder, {"a": twice, "b": twice})
    with pytest.raises(TypeError):
        write_config(folder, {"a": object()})
    assert torch.equal(read_tensors(folder)["w"], torch.arange(4.0))
    assert len(list(folder.iterdir())) == 2


def test_damaged_weights_are_refused_by_name(tmp_path):
    folder = shipped(tmp_path / "model")
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsUnavailable, match=rf"{re.escape(str(file))} is damaged"):
        verify(folder)
    with pytest.raises(WeightsUnavailable, match="damaged"):
        read_tensors(folder)


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    folder = shipped(tmp_path / "model")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n")
    with pytest.raises(WeightsUnavailable, match="git lfs pull"):
        verify(folder)


def test_every_file_that_the_config_names_is_verified(tmp_path):
    folder = shipped(tmp_path / "model")
    config = read_config(folder)
    config["weights"]["extra.npy"] = "0" * 64
    write_config(folder, config)
    with pytest.raises(WeightsUnavailable, match=r"extra\.npy is missing"):
        verify(folder)
    (folder / "extra.npy").write_bytes(b"something else")
    with pytest.raises(WeightsUnavailable, match=r"extra\.npy is damaged"):
        verify(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "holds no model"),
        ("{", "cannot be read"),
        ("[1]", "not the description"),
        ("{}", "no checksums"),
        ('{"weights": {}}', "no checksums"),
    ],
)
def test_a_folder_without_a_proper_config_is_refused(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsUnavailable, match=sentence):
        verify(tmp_path)


def test_verified_files_that_are_no_safetensors_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"no tensors at all")
    write_config(tmp_path, {"weights": {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}})
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        read_tensors(tmp_path)


def test_a_file_is_hashed_once_until_it_changes(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    first = sha256(file)
    assert first == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))  # a change that nothing shows: the old answer shows that the file was not read again
    assert sha256(file) == first
    os.utime(file, ns=(2, 2))
    assert sha256(file) == hashlib.sha256(b"two").hexdigest()


def test_bundled_weights_are_small() -> None:
    def size(name: str) -> int:
        return (PROJECT / "models" / name / "model.safetensors").stat().st_size

    assert size("whisper-base") <= 80e6
    assert size("whisper-base-tuned") + size("whisper-base-heads") + size("voice-open") <= 35e6
    assert size("goemotions-minilm") <= 25e6
