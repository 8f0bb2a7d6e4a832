"""Run the bundled networks by onnxruntime: their graphs, filled with the weights of a model's folder.

A graph in `graphs/` (`tools/export_graphs.py`) holds operations and the names of its weights. These stay in 8 bits, in
the file and in memory, so that there is one copy of them on the disk, and no framework is loaded to read them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.store import TENSORS, verify

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

GRAPHS = Path(__file__).parent / "graphs"
MODEL = "model.onnx"
_OPENING = threading.Lock()
SCALE = ".scale"
CODES, SCALES, COLUMNS = ":codes", ":scales", ":columns"
"""Endings of names: of a matrix's 8-bit codes in blocks (zero is 128) and their scales; and of its columns in 7 bits.

Their scale has another ending. Sums of products of 8 bits with 8 bits overflow on processors without VNNI.
"""
_TYPES = {"I8": np.int8, "U8": np.uint8, "F16": np.float16, "F32": np.float32, "I64": np.int64, "BOOL": np.bool_}


class Weights:
    """The tensors of a model's folder, mapped into memory and shared by all processes that read them.

    `prefix` is what the names in the file have before those of the graph. Raise WeightsUnavailable as
    `store.read_tensors` does.
    """

    def __init__(self, folder: Path, prefix: str = "") -> None:
        verify(folder)
        self.prefix, self.folder = prefix, folder
        try:
            self._stored = map_tensors(folder / TENSORS)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsUnavailable(f"{folder / TENSORS} cannot be read: {error}.") from error

    def below(self, prefix: str) -> Weights:
        """Return the same tensors under the names that follow `prefix`."""
        other = object.__new__(Weights)
        other.prefix, other.folder, other._stored = self.prefix + prefix, self.folder, self._stored
        return other

    def holds(self, name: str) -> bool:
        """Return whether there is such a tensor."""
        return self.prefix + name in self._stored

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self._stored[self.prefix + name].shape

    def stored(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return a tensor as it is stored, and the scale of each row if it is stored in 8 bits."""
        return self._stored[self.prefix + name], self._stored.get(self.prefix + name + SCALE)

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a tensor in float32, in new memory."""
        stored, scale = self.stored(name)
        if scale is None:
            return np.array(stored, np.float32)
        columns = scale.reshape(-1, *[1] * (stored.ndim - 1))
        return np.asarray(np.multiply(stored, columns, dtype=np.float32), np.float32)

    def rows(self, name: str, chosen: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return the `chosen` rows of a matrix in float32, [*chosen.shape, columns]."""
        stored, scale = self.stored(name)
        values: NDArray[np.float32] = stored[chosen].astype(np.float32)
        return values if scale is None else np.asarray(values * scale[chosen][..., None], np.float32)

    def fill(self, name: str, shape: list[int]) -> NDArray[Any]:
        """Return what a graph has under `name`; raise ValueError if it does not fit."""
        matrix, colon, _ = name.partition(":")
        try:
            if not colon:
                filled: NDArray[Any] = self.read(name)
            elif name.endswith(CODES):
                # int8 plus 128, in one pass.
                filled = (self._stored[self.prefix + matrix].view(np.uint8) ^ np.uint8(128)).reshape(shape)
            elif name.endswith(COLUMNS):
                filled = np.ascontiguousarray(np.rint(self._stored[self.prefix + matrix].T / np.float32(2)), np.int8)
            elif not name.endswith(SCALES):
                filled = 2 * self._stored[self.prefix + matrix + SCALE].astype(np.float32)
            else:
                filled = np.repeat(self._stored[self.prefix + matrix + SCALE].astype(np.float32), shape[1])
                filled = filled.reshape(shape)
        except KeyError:
            raise ValueError(f"there is no tensor {self.prefix}{matrix}") from None
        if list(filled.shape) != shape:
            raise ValueError(f"{self.prefix}{name} has the shape {filled.shape}, not {shape}")
        return filled


def map_tensors(file: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file by name, as they are stored, mapped into memory."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header: dict[str, Any] = json.loads(opened.read(length))
    content = np.memmap(file, np.uint8, mode="r", offset=8 + length)
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            tensors[name] = np.asarray(content[first:last]).view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


@lru_cache
def graph_shapes(graph: str) -> Mapping[str, list[int]]:
    """Return the shapes of a graph's weights by name."""
    shapes: dict[str, list[int]] = json.loads((GRAPHS / f"{graph}.json").read_text(encoding="utf-8"))
    return shapes


def open_graph(graph: str, weights: Weights, threads: int) -> InferenceSession:
    """Return a session of a graph with these weights; raise WeightsUnavailable if they do not fit."""
    import onnxruntime

    options = _session_options(threads)
    try:
        filled = {name: weights.fill(name, shape) for name, shape in graph_shapes(graph).items()}
    except ValueError as error:
        raise WeightsUnavailable(f"The weights in {weights.folder} do not fit the graph {graph}: {error}.") from None
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in filled.values()]
    options.add_external_initializers(list(filled), values)
    file = GRAPHS / f"{graph}.onnx"
    return onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])


def open_model(folder: Path, threads: int) -> InferenceSession:
    """Return the session of a folder's model.onnx, which holds its weights, opened once.

    Raise WeightsUnavailable as `verify` does.
    """
    with _OPENING:
        return _open_model(folder, threads)


@lru_cache(maxsize=4)
def _open_model(folder: Path, threads: int) -> InferenceSession:
    import onnxruntime

    verify(folder)
    return onnxruntime.InferenceSession(folder / MODEL, _session_options(threads), providers=["CPUExecutionProvider"])


def _session_options(threads: int) -> SessionOptions:
    from onnxruntime import SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Sessions share the processor with each other and with other processes: their threads spin for no longer than it
    # takes to wake them, and they give memory back.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options


@lru_cache
def _run_options() -> Any:
    from onnxruntime import RunOptions

    options = RunOptions()
    options.only_execute_path_to_fetches = True
    return options


def run(session: InferenceSession, outputs: list[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Return these outputs of a graph, computing nothing else."""
    found: list[NDArray[Any]] = session.run(outputs, dict(inputs), _run_options())
    return found
