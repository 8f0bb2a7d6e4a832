"""openai-whisper's own tokenizer, without the rest of the package, which would load torch."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper.tokenizer import Tokenizer


@lru_cache
def load_tokenizer(multilingual: bool, languages: int, language: str | None = None) -> Tokenizer:
    """Return the tokenizer of a Whisper that knows so many languages, for text in one of them."""
    tokenizer: Tokenizer = _module().get_tokenizer(multilingual, num_languages=languages, language=language)
    return tokenizer


@lru_cache(maxsize=1)
def _module() -> ModuleType:
    loaded = sys.modules.get("whisper.tokenizer")
    if loaded is not None:
        return loaded
    package = find_spec("whisper")
    assert package is not None and package.origin is not None
    spec = spec_from_file_location("ser_engine_whisper_tokenizer", Path(package.origin).parent / "tokenizer.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module
