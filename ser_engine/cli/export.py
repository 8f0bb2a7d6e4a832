"""Write a voice model as ONNX: samples at 16 kHz in, probabilities out, with examples in Python and JavaScript.

MODEL is whisper-base-tuned, whisper-base-heads, voice-open, or the folder of a trained model of these kinds. FOLDER
gets model.onnx, whose metadata has labels and threshold, a README.md with examples, the model's card and the licenses.
An earlier export in it is replaced.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ser_engine.errors import InvalidSettings
from ser_engine.settings import Settings

HELP = "write a voice model as ONNX, for programs in other languages"
SHARED = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("exported", metavar="MODEL", help="folder in models/ or path")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="new or empty folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Write the files and say where."""
    try:
        from ser_engine.models.voice_export import export_model, find_exportable
    except ImportError as error:
        raise InvalidSettings(
            f"ser export needs the extra “export”: pip install 'ser-engine[export]' ({error})."
        ) from None
    file = export_model(find_exportable(options.exported, settings), options.output, settings)
    print(f"Written to {file} ({file.stat().st_size / 1e6:.0f} MB); {file.with_name('README.md')} has examples.")
    return 0
