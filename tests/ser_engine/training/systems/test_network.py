"""Networks are systems like all others: trained, measured, resumed and saved by the runner, or refused at once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.evaluation.predictions import read_predictions
from ser_engine.models.registry import load_model
from ser_engine.papers.audioset import VGGish
from ser_engine.papers.audioset_weights import convert
from ser_engine.papers.network import Network
from ser_engine.training.clips import validation_rows
from ser_engine.training.runner import prepare_run
from tests.ser_engine.training.tiny import Bench, make_bench

TOML = """
id = "tiny-network"
system = "network"
protocols = ["speaker-independent", "augmented-before-split"]
corpora = ["ravdess"]
folds = 3
epochs = 2
batch = 8
"""
CNN1D = """
kind = "cnn1d"
features = "acoustic94"
options = { filters = [[4, 4], [4]], dense = [8] }
"""
CNN2D = """
kind = "cnn2d"
features = "mel-image"
preprocessing = "gomes"
options = { filters = [4, 4, 4, 4], dense = 8 }
"""
MOBILENET = """
kind = "mobilenet_v2"
features = "jet-blocks"
blocks = 1
trainable = "head"
options = { depth_multiplier = 0.1 }
"""
SMALL_VGGISH = {"filters": [4, 0, 4, 0, 8, 8, 0, 8, 8, 0], "dense": 16}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("network")
    return make_bench(folder, folder / "models")


def test_a_network_on_features_is_trained_measured_and_saved(bench: Bench) -> None:
    record = bench.run("features", TOML + CNN1D + "save = true\n")
    assert record.speaker_independent and record.tested == 19 and record.size_mb
    assert {"WA", "UA"} <= set(record.metrics) and record.interval and record.audit
    folds = json.loads((bench.results / record.id / "folds.json").read_text())
    epochs = {(line["fold"], line["epoch"]) for line in bench.history(record.id)}
    assert epochs == {(fold, epoch) for fold in (*folds, "all") for epoch in (1, 2)}
    model = load_model(bench.settings.models_dir / "tiny-network", bench.settings)
    assert isinstance(model, Network) and model.labels == record.labels and model.card["run"] == record.id


def test_log_probabilities_are_those_of_the_mean_over_blocks(bench: Bench) -> None:
    record = bench.run("blocks", TOML + MOBILENET)
    log_probs = read_predictions(bench.results / record.id).main
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-5)


def test_a_network_on_images_is_trained(bench: Bench) -> None:
    record = bench.run("images", TOML + CNN2D)
    assert record.features == "mel-image" and record.tested == 19


def test_genders_are_separate_classes_in_training_alone(bench: Bench) -> None:
    record = bench.run("genders", TOML + CNN1D + "genders = true\n")
    assert np.array(record.confusion).shape == (3, 4) and record.tested == 19


def test_augmented_copies_and_balance_are_for_training_alone(bench: Bench) -> None:
    record = bench.run("copies", TOML + CNN1D + 'augmentation = "gomes"\nbalance = "count"\nbalance_to = 9\n')
    assert record.tested == 19 and record.features == "acoustic94, gomes augmentation"


def test_images_of_augmented_copies_are_trained_on_and_validation_is_balanced(bench: Bench) -> None:
    toml = TOML.replace('"speaker-independent"', '"paper", "speaker-independent"') + CNN2D
    more = 'augmentation = "gomes"\nbalance = "count"\nbalance_to = 9\nvalidation_to = 5\npatience = 1\n'
    path = bench.write("images-copies", toml + more)
    run = prepare_run(path, "paper", bench.settings)
    assert {len(copies) for copies in run.prepared.features} == {4}
    fold = run.folds[0]
    labels = run.prepared.clips.labels
    rows, copies = validation_rows(run.system.config, labels, fold.validation, 4, 0)
    assert set(rows) <= set(fold.validation) and set(Counter(labels[rows].tolist()).values()) == {5}
    assert set(rows[copies == 0]) == set(fold.validation)  # recordings come before their copies
    assert bench.run("images-copies", toml + more, "paper").tested == len(fold.test)


def test_the_harmonic_mean_balances_blocks_and_not_clips(bench: Bench) -> None:
    path = bench.write("blocks-balanced", TOML + MOBILENET.replace("blocks = 1\n", "") + 'balance = "harmonic-mean"\n')
    run = prepare_run(path, "speaker-independent", bench.settings)
    train = run.folds[0].train
    counts = Counter[int]()
    for row in train:
        counts[int(run.prepared.clips.targets[row])] += len(run.prepared.features[row][0])
    examples = run.system._training_examples(run.prepared, train, 0)
    mean = round(len(counts) / sum(1 / count for count in counts.values()))
    assert len(set(counts.values())) > 1 and Counter(examples.targets.tolist()) == dict.fromkeys(counts, mean)


def test_a_stopped_run_repeats_only_the_unfinished_fold(bench: Bench) -> None:
    first = bench.run("stopped", TOML + CNN1D)
    state = bench.state(first.id)
    finished = (state / "outputs-0.npz").stat().st_mtime_ns
    with np.load(state / "outputs-1.npz") as arrays:
        expected = arrays["main"]
    (state / "outputs-1.npz").unlink()
    again = bench.run("stopped", TOML + CNN1D)
    assert again.metrics == first.metrics and (state / "outputs-0.npz").stat().st_mtime_ns == finished
    with np.load(state / "outputs-1.npz") as arrays:
        np.testing.assert_array_equal(arrays["main"], expected)


def test_a_perceptron_on_embeddings_is_searched_for(bench: Bench, tmp_path: Path) -> None:
    torch.save(VGGish(**SMALL_VGGISH).state_dict(), tmp_path / "vggish.pth")  # type: ignore[arg-type]
    convert("vggish", tmp_path / "vggish.pth", bench.settings.models_dir / "vggish", SMALL_VGGISH)
    toml = TOML.replace("tiny-network", "searched") + 'kind = "embedding-mlp"\nfeatures = "vggish"\ntries = 2\n'
    record = bench.run("searched", toml + "save = true\n")
    model = load_model(bench.settings.models_dir / "searched", bench.settings)
    assert isinstance(model, Network) and record.tested == 19
    assert model.options["width"] == 128 and model.options["hidden"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('kind = "cnn1d"', 'kind = "cnn9d"', "kind is 'cnn9d', but it can be cnn1d, cnn2d"),
        ('features = "acoustic94"', 'features = "acoustic95"', "features is 'acoustic95'"),
        ("dense = [8]", "depth = 3", "cannot be built with these options"),
        ('kind = "cnn1d"', 'kind = "cnn1d"\ntrainable = "tail"', "trainable is 'tail'"),
        ('kind = "cnn1d"', 'kind = "cnn1d"\naugmentation = "tiwari"', "for acoustic94 there are sharma"),
        ('features = "acoustic94"', 'features = "vggish"\naugmentation = "tiwari"', "for vggish there are sharma"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_computed(
    tmp_path: Path, bench: Bench, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(InvalidSettings, match=sentence):
        Bench(tmp_path, bench.settings).run("wrong", TOML + CNN1D.replace(old, new))


def test_a_leaky_protocol_is_for_classical_systems(tmp_path: Path, bench: Bench) -> None:
    with pytest.raises(InvalidSettings, match="augmented-before-split is for classical systems"):
        Bench(tmp_path, bench.settings).run("leaky", TOML + CNN1D, "augmented-before-split")


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        (
            'kind = "resnet34"\nfeatures = "spectrogram-image"\nimagenet = "microsoft/resnet-34"\n',
            "microsoft/resnet-34 is not on this computer",
        ),
        ('kind = "embedding-mlp"\nfeatures = "yamnet"\n', "YAMNet"),
    ],
)
def test_missing_weights_are_reported_before_any_corpus_is_read(
    tmp_path: Path, bench: Bench, toml: str, sentence: str
) -> None:
    with pytest.raises(WeightsUnavailable, match=sentence):
        Bench(tmp_path, bench.settings).run("missing", TOML + toml)
