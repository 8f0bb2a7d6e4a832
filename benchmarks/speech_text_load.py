"""Peak memory while a model of speech and text is loaded, in a separate process."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ser_engine.settings import PROJECT, Settings


def measure(folder: Path) -> dict[str, float]:
    """Return `seconds`, `peak_mb` above that of the interpreter with its libraries, and `weights_mb`."""
    command = [sys.executable, "-m", "benchmarks.speech_text_load", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main(folder: Path) -> None:
    """Load the model and print the figures as JSON.

    Every weight is read once before memory is measured, because unread pages of a mapped file take none.
    """
    from transformers import BertModel, BertTokenizer, HubertModel  # noqa: F401  (so that loading does not import them)

    from ser_engine.models.registry import load_model
    from ser_engine.models.speech_text import SpeechText

    before, begun = resident_bytes("VmRSS"), time.perf_counter()
    model = load_model(folder, Settings())
    seconds = time.perf_counter() - begun
    assert isinstance(model, SpeechText)
    for tensor in model.network.state_dict().values():
        tensor.sum()
    peak = resident_bytes("VmHWM")
    measured: dict[str, Any] = {
        "seconds": round(seconds, 2),
        "peak_mb": round((peak - before) / 1e6, 1),
        "weights_mb": round(weight_bytes(model.network) / 1e6, 1),
    }
    print(json.dumps(measured))


def weight_bytes(network: Any) -> int:
    """Return the bytes of every distinct tensor of a network."""
    tensors = {tensor.data_ptr(): tensor for tensor in (*network.parameters(), *network.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def resident_bytes(entry: str) -> int:
    """Return the resident memory of the process, current ("VmRSS") or peak ("VmHWM").

    Without /proc it is the peak of getrusage, which may be inherited from the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(rf"^{entry}:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)
        assert found
        return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
