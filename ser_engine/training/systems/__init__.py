"""The systems: one module for each kind, found by its name; a new one needs a module here and a TOML file."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_engine.errors import InvalidSettings

if TYPE_CHECKING:
    from ser_engine.training.system import System


def system_names() -> tuple[str, ...]:
    """Return the names of all systems, with hyphens."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def system_class(name: str) -> type[System[Any, Any, Any]]:
    """Return the class of a system; its module is imported only now."""
    if name not in system_names():
        raise InvalidSettings(f"There is no system “{name}”; there are {', '.join(system_names())}.")
    system: type[System[Any, Any, Any]] = import_module(f"{__name__}.{name.replace('-', '_')}").SYSTEM
    return system
