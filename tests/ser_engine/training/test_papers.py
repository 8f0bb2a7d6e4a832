"""The configurations of the papers do what the papers state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ser_engine.settings import PROJECT
from ser_engine.training.config import config_entries, load_config

CONFIGS = PROJECT / "configs"


def entries(name: str) -> dict[str, Any]:
    return config_entries(load_config(CONFIGS / f"{name}.toml"))


def named(source: str, pattern: str) -> list[Path]:
    found = sorted((CONFIGS / source).glob(f"{pattern}.toml"))
    assert found
    return found


@pytest.mark.parametrize("corpus", ["tess", "ravdess", "savee", "cremad", "subesco", "banglaser"])
def test_islam_s_two_arms_differ_by_copies_and_masks_alone(corpus: str) -> None:
    """3.4: three copies and the clip once more, masked in time and frequency; 4.4: "standard" training sets."""
    plain, augmented = entries(f"islam/hubert-{corpus}"), entries(f"islam/hubert-augmented-{corpus}")
    different = {name for name in plain if plain[name] != augmented[name]}
    assert different == {"augmentation", "speech_overrides", "published", "note"}
    assert plain["augmentation"] == "" and plain["speech_overrides"]["apply_spec_augment"] is False
    masks = augmented["speech_overrides"]
    assert masks["apply_spec_augment"] and masks["mask_time_prob"] > 0 and masks["mask_feature_prob"] > 0
    assert augmented["corpora"] == [corpus] and not augmented["optional_corpora"]


def test_islam_trims_everything_and_balances_embeddings_alone() -> None:
    for path in named("islam", "*"):
        config = entries(f"islam/{path.stem}")
        assert config["preprocessing"] == "islam" and config["label_set"] == "islam"
        assert config["balance"] == ("harmonic-mean" if path.stem.startswith(("vggish", "yamnet")) else "")


def test_jafarzadeh_has_every_corpus_frozen_and_fine_tuned_and_no_fear_in_shemo() -> None:
    for path in named("jafarzadeh", "*"):
        config = entries(f"jafarzadeh/{path.stem}")
        assert config["network"]["freezing"] == ("partial" if "tuned" in path.stem else "head")
        assert config["network"]["head"] == "two-layer" and config["corpora"] == [path.stem.rpartition("-")[2]]
        assert config["label_set"] == ("shemo-5" if "shemo" in path.stem else "native")
    assert len(named("jafarzadeh", "*")) == 5 * 2 * 2


def test_sharma_trains_on_1600_augmented_clips_of_each_emotion_but_for_overlapping_blocks() -> None:
    for path in named("sharma", "*"):
        config = entries(f"sharma/{path.stem}")
        few = "overlapping" in path.stem
        assert (config["balance_to"], config["augmentation"]) == ((400, "") if few else (1600, "sharma")), path.stem
        assert config["preprocessing"] == "sharma" and config["label_set"] == "sharma"
    freezing = {path.stem: entries(f"sharma/{path.stem}")["network"]["freezing"] for path in named("sharma", "hubert*")}
    assert freezing == {
        "hubert": "head",
        "hubert-bert": "head",
        "hubert-bert-joint": "partial",
        "hubert-convolutions": "convolutions-2",
    }
    assert all(entries(f"sharma/{path.stem}")["validation_to"] == 400 for path in named("sharma", "hubert*"))


def test_tiwari_has_seven_emotions_and_gomes_eight() -> None:
    assert {entries(f"tiwari/{path.stem}")["label_set"] for path in named("tiwari", "*")} == {"islam"}
    assert {entries(f"gomes/{path.stem}")["label_set"] for path in named("gomes", "*")} == {"eight"}
    assert entries("gomes/vgg16")["options"]["normalized"] is False
