"""Measured figures and cards from model folders, for people."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ser_engine.models.registry import find_model
from ser_engine.models.store import MEASURED, part_folders, read_config
from ser_engine.settings import Settings
from ser_engine.types import ModelLanguages

LANGUAGES = "languages"
"""The entry of measured figures with the codes of languages, {trained: [], measured: []}."""


def read_figures(settings: Settings) -> dict[str, Any] | None:
    """Return the measured figures of the emotion model that the settings name; None where there are none.

    Keys: `id, architecture, labels, corpora` (of its training), `protocol, UA, WA, UA_ci95, ECE, per_corpus {corpus:
    {UA, WA, UA_ci95}}, per_label {label: {recall, precision}}, listeners {corpus: {agreement, per_label {label:
    percent}}}, languages {trained: [code], measured: [code]}`, in percent; `not_sure` is a `calibration.threshold`,
    from 0 to 1.
    Raise WeightsUnavailable if there is no such model.
    """
    config = read_config(find_model(settings, fetch=False))
    if MEASURED not in config:
        return None
    known = {key: config[key] for key in ("id", "architecture", "labels", "corpora") if key in config}
    return {**known, **config[MEASURED]}


def read_languages(folder: Path, settings: Settings) -> ModelLanguages | None:
    """Return the languages on which the model in a folder, or a part of it, was trained and measured.

    None where neither is known. Raise WeightsUnavailable if there is no such model, or if one of its parts is missing.
    """
    figures = [read_config(place).get(MEASURED, {}) for place in (folder, *part_folders(folder, settings))]
    known = [languages for each in figures if isinstance(languages := each.get(LANGUAGES), dict)]
    if not known:
        return None
    trained, measured = ({code for each in known for code in each[kind]} for kind in ("trained", "measured"))
    return ModelLanguages(tuple(sorted(trained)), tuple(sorted(measured)))


def read_cards(settings: Settings) -> dict[str, str]:
    """Return the cards of the emotion model and its parts, by their names, as Markdown without front matter.

    A card is a folder's README.md; folders without one are left out.
    Raise WeightsUnavailable if there is no such model, or if one of its parts is missing.
    """
    folder = find_model(settings, fetch=False)
    texts = {}
    for place in (folder, *part_folders(folder, settings)):
        with suppress(OSError):
            text = (place / "README.md").read_text(encoding="utf-8")
            texts[place.name] = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).strip()
    return texts
