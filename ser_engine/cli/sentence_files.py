"""The options --export and --output of `analyze`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from mimetypes import guess_type
from pathlib import Path

from ser_engine.errors import InvalidSettings
from ser_engine.export import FORMATS, SUFFIXES
from ser_engine.io import write_text
from ser_engine.types import Analysis


def add_export(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--export", choices=FORMATS, help="also write the sentences and their emotions to a file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="with --export: file of one recording, or folder (default: the current folder)",
    )


def export_targets(options: argparse.Namespace, files: Sequence[Path]) -> Mapping[Path, Path]:
    """Return the file to write for each recording; none without --export.

    Raise InvalidSettings if two recordings would be written to the same file, or --output is given alone.
    """
    if options.export is None:
        if options.output is not None:
            raise InvalidSettings(f"--output needs --export and one of {', '.join(FORMATS)}.")
        return {}
    output = options.output or Path()
    if len(files) == 1 and not output.is_dir():
        return {files[0]: output}
    if output.is_file():
        raise InvalidSettings(f"{output} is a file; with several recordings, --output is a folder.")
    suffix = SUFFIXES.get(options.export, options.export)
    targets = {file: output / f"{file.stem}.{suffix}" for file in files}
    written = Counter(target for file, target in targets.items() if not _is_other_kind(file))
    target, count = written.most_common(1)[0] if written else (output, 0)
    if count > 1:
        raise InvalidSettings(f"{count} recordings would be written to {target}; export them to different folders.")
    return targets


def _is_other_kind(file: Path) -> bool:
    """Whether a name is that of no recording, such as notes beside one."""
    kind, _ = guess_type(file)
    return kind is not None and kind.startswith(("text/", "image/", "application/"))


def write_export(options: argparse.Namespace, analysis: Analysis, target: Path | None) -> None:
    """Write an analysis in the chosen format; nothing without a target. Raise InvalidSettings if it cannot be."""
    if target is None:
        return
    try:
        write_text(target, FORMATS[options.export](analysis))
    except OSError as error:
        raise InvalidSettings(f"{target} cannot be written ({error.strerror}).") from None
