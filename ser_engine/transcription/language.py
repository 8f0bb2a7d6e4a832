"""Languages of a Whisper model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ser_engine.errors import InvalidSettings
from ser_engine.settings import variable

if TYPE_CHECKING:
    from whisper.model import Whisper


def resolve_language(model: Whisper, code: str) -> str | None:
    """Return the language code to transcribe with; None lets Whisper detect the language.

    English-only models always get "en".
    """
    from whisper.tokenizer import LANGUAGES

    if not model.is_multilingual:
        return "en"
    lower = code.lower()
    if lower and lower not in tuple(LANGUAGES)[: model.num_languages]:
        raise InvalidSettings(f"{variable('language')} is a language code of Whisper, such as en or de, not “{code}”.")
    return lower or None
