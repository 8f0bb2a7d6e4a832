"""A run's TOML: read as it stands, and refused in one sentence where it means nothing."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from ser_engine.errors import InvalidSettings
from ser_engine.labels import EMOTIONS
from ser_engine.settings import PROJECT
from ser_engine.training.config import TrainingConfig, read_config

LEAST = 'id = "tiny"\narchitecture = "whisper-statistics"\ncorpora = ["ravdess"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, LEAST))
    assert config == TrainingConfig(id="tiny", architecture="whisper-statistics", corpora=("ravdess",))
    assert config.labels == EMOTIONS
    assert config.protocol == "speaker-independent"


def test_every_entry_arrives(tmp_path: Path) -> None:
    given = {
        "id": "x", "architecture": "y", "corpora": ["tess", "emodb"], "external": ["cremad"], "protocol": "z",
        "labels": ["sad", "happy"], "members": 2, "mixtures": 3, "hidden": 4, "dropout": 0.25, "epochs": 5, "batch": 6,
        "learning_rate": 1, "weight_decay": 0.5, "mixup": 0.1, "label_smoothing": 0.2, "balance": 0.3,
        "label_balance": 0.4, "views": 7, "save": False, "seed": 8, "conditions": ["crop", "telephone"],
        "augmentation": ["telephone"], "attentive": 9, "projection": 16, "attention_heads": 11, "attentive_epochs": 12,
        "attentive_batch": 13, "attentive_learning_rate": 0.5,
    }  # fmt: skip
    assert set(given) == {item.name for item in fields(TrainingConfig)}
    # Such values are written in TOML as in JSON.
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
    config = read_config(written(tmp_path, text))
    for name, value in given.items():
        assert getattr(config, name) == (tuple(value) if isinstance(value, list) else value), name


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_experiments_can_be_read(path: Path) -> None:
    config = read_config(path)
    assert config.corpora and config.id and config.protocol
    if isinstance(config, TrainingConfig):
        assert set(config.labels) <= set(EMOTIONS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks id, architecture, corpora"),
        ('id = "x"', "lacks architecture, corpora"),
        (LEAST + 'conditions = ["rain"]', "conditions that mean nothing: rain"),
        (LEAST + 'conditions = ["babble"]', "Babble is made of an external corpus"),
        (LEAST + 'conditions = ["crop"]\naugmentation = ["telephone"]', "has to be tested under, too: telephone"),
        (LEAST + "projection = 20", "projection is 20, which is no multiple of 8"),
        (LEAST + "epoch = 3", "mean nothing: epoch"),
        (LEAST + "[model]\nhidden = 3", "mean nothing: model"),
        (LEAST + 'labels = ["happy", "bored"]', "mean nothing: bored"),
        (LEAST + "labels = []", "labels"),
        (LEAST + 'labels = ["sad", "sad"]', "labels"),
        (LEAST + "labels = [[1]]", "labels"),
        (LEAST + 'external = "tess"', "external is 'tess'"),
        (LEAST + "external = [1]", "external"),
        (LEAST.replace('["ravdess"]', "[]"), "corpora"),
        (LEAST + "epochs = 2.5", "epochs is 2.5"),
        (LEAST + 'epochs = "2"', "epochs is '2'"),
        (LEAST + "seed = true", "seed is True"),
        (LEAST + "epochs = 0", "epochs is 0"),
        (LEAST + "members = 0", "members is 0"),
        (LEAST + "batch = -1", "batch is -1"),
        (LEAST + "hidden = 0", "hidden is 0"),
        (LEAST + "mixtures = 0", "mixtures is 0"),
        (LEAST + "views = -1", "views is -1"),
        (LEAST + "seed = -1", "seed is -1"),
        (LEAST + "dropout = 1.0", "dropout is 1.0"),
        (LEAST + "learning_rate = 0.0", "learning_rate is 0.0"),
        (LEAST + "learning_rate = nan", "learning_rate is nan"),
        (LEAST + "weight_decay = -0.1", "weight_decay is -0.1"),
        (LEAST + "mixup = inf", "mixup is inf"),
        (LEAST + "label_smoothing = 1.1", "label_smoothing is 1.1"),
        (LEAST + "balance = -1", "balance is -1"),
        (LEAST + LEAST, "not valid TOML"),
        ("nonsense", "not valid TOML"),
    ],
)
def test_what_means_nothing_is_one_sentence_that_names_the_file(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidSettings) as caught:
        read_config(path)
    sentence = str(caught.value)
    assert said in sentence and str(path) in sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"There is no configuration .*nothing\.toml"):
        read_config(tmp_path / "nothing.toml")
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_config(tmp_path)
    (tmp_path / "run.toml").write_bytes(b"id = '\xff'")
    with pytest.raises(InvalidSettings, match="not valid TOML"):
        read_config(tmp_path / "run.toml")
