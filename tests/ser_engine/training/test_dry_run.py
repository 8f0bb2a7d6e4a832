"""What a run would take: counted without weights, corpora or training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ser_engine import Settings
from ser_engine.cli.main import main
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation.record import read_record
from ser_engine.settings import PROJECT
from ser_engine.training import work
from ser_engine.training.dry_run import DryRun, estimate
from ser_engine.training.runner import run_experiment
from tests.ser_engine.training.tiny import Bench, make_bench

CONFIGS = PROJECT / "configs"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("dry")
    return make_bench(folder, PROJECT / "models")


def count(name: str, folder: Path, protocol: str = "") -> DryRun:
    """Return the dry run of a configuration of the project, without any corpus."""
    return estimate(CONFIGS / f"{name}.toml", protocol, replace(Settings(), data=folder, results=folder))


def test_a_network_is_counted_as_it_computes() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))

    counted = work.count(make, lambda network: network(torch.zeros(4, 10)))
    assert counted.parameters == counted.trained == 10 * 20 + 20 + 20 * 5 + 5
    assert counted.forward == 2 * 4 * (10 * 20 + 20 * 5)
    # The gradients of all weights, and of the hidden layer, but not of the input.
    assert counted.step == counted.forward + 2 * 4 * (10 * 20 + 2 * 20 * 5)
    assert counted.kept >= 4 * 4 * (10 + 20)
    frozen = work.count(lambda: make().requires_grad_(False), lambda network: network(torch.zeros(4, 10)))
    assert (frozen.trained, frozen.step, frozen.kept) == (0, frozen.forward, 0)
    assert 1e8 < work.speed("attention") < 1e14 and 1e8 < work.speed("convolution") < 1e14


def test_the_papers_encoders_have_their_published_sizes(tmp_path: Path) -> None:
    frozen = count("sharma/hubert", tmp_path, "paper")
    assert frozen.published == ("cremad", "tess", "ravdess", "savee", "iemocap")
    assert frozen.trained == 768 * 7 + 7 and 94e6 < frozen.parameters < 96e6
    assert frozen.examples == 7 * 1600 and frozen.steps == 7 * 1600 // 16 * 6
    tuned = count("jafarzadeh/hubert-tuned-ravdess", tmp_path)
    assert 315e6 < tuned.parameters < 318e6 and tuned.trained > 300e6
    assert tuned.folds == 5 and tuned.clips == 1440 and tuned.memory_mb > 16 * 300
    assert tuned.hours > frozen.hours > 0


def test_networks_and_classical_systems_are_counted(tmp_path: Path) -> None:
    cnn = count("gomes/cnn2d", tmp_path)
    assert cnn.parameters == cnn.trained == 2_813_672
    assert cnn.steps == 5 * -(-cnn.examples // 32) * 100 and cnn.folds == 5
    mlp = count("islam/vggish-tess", tmp_path)
    assert mlp.clips == 2800 and mlp.folds == 1 and mlp.steps > 0
    svm = count("gomes/svm", tmp_path)
    assert (svm.steps, svm.parameters) == (0, 0) and svm.hours > 0 and svm.basis == "timed parts"


def test_the_command_line_prints_it_and_trains_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "results", "cache"):
        monkeypatch.setenv(f"SER_{name.upper()}", str(bench.folder / name))
    path = str(CONFIGS / "ours" / "smoke.toml")
    assert main(["train", path, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ours/smoke/speaker-independent\n  clips       19\n  folds       3, with")
    assert "on " in out and "cores, by timed parts" in out and not bench.results.exists()
    assert main(["train", path, "--epochs", "3"]) == 2
    assert "it has no epochs" in capsys.readouterr().err
    assert main(["train", path, "--folds", "0"]) == 2
    assert "--folds is 1 or more" in capsys.readouterr().err


def test_a_system_that_only_a_run_can_tell_of_has_the_seconds_of_its_run(tmp_path: Path) -> None:
    path = CONFIGS / "ours" / "whisper-statistics.toml"
    settings = replace(Settings(), data=tmp_path)
    found = estimate(path, "speaker-independent", settings)
    record = read_record(settings.results, "ours/whisper-statistics/speaker-independent")
    assert found.hours == round((record.seconds or 0) / 3600, 3) and "finished run" in found.basis
    with pytest.raises(InvalidSettings, match="known only from a finished run"):
        estimate(path, "speaker-independent", replace(settings, results=tmp_path))


NETWORK = """
id = "tiny-network"
system = "network"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
folds = 3
epochs = 4
batch = 8
kind = "cnn1d"
features = "acoustic94"
options = { filters = [[4, 4], [4]], dense = [8] }
"""


def test_a_run_of_some_folds_and_epochs_says_so_and_goes_on_later(bench: Bench) -> None:
    path = bench.write("few", NETWORK)
    first = run_experiment(path, "", bench.settings, {"epochs": 2}, folds=1)
    assert first.tested and first.tested < 19
    assert first.note == "Only the first 1 of 3 folds. Run with epochs = 2." and first.config["epochs"] == 2
    state = bench.state(first.id)
    assert [file.name for file in state.glob("outputs-*.npz")] == ["outputs-0.npz"]
    stamp = (state / "outputs-0.npz").stat().st_mtime_ns
    whole = run_experiment(path, "", bench.settings, {"epochs": 2})
    assert whole.tested == 19 and whole.note == "Run with epochs = 2."
    assert (state / "outputs-0.npz").stat().st_mtime_ns == stamp and (state / "finished").exists()
    assert json.loads((bench.results / whole.id / "run.json").read_text())["config"]["epochs"] == 2
