"""A graph in ONNX Runtime on the CPU, its errors told as ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from fulgor.errors import ModelError

__all__ = ["Graph"]

_UNREADABLE = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
)
"""What ONNX Runtime raises for a file that it cannot load; the errors have no base of their own."""

_OUT_OF_MEMORY = ("Failed to allocate", "bad_alloc", "bad allocation")
"""How ONNX Runtime says that it has no memory; it has no class of error for it."""


class Graph:
    """A model's graph, ready to run.

    Parameters
    ----------
    path : Path
        The file.
    inputs, outputs : tuple of str
        Names of all that it takes, in this order, and of what is wanted of it.
    threads : int
        Threads inside one operation.

    Raises
    ------
    ModelError
        ONNX Runtime cannot read the file, or it is another model's graph.
    """

    def __init__(self, path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...], threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin would take the core from decoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _UNREADABLE as error:
            raise ModelError(f"{path} cannot be loaded ({error}); export or install the model again") from error
        names = tuple(entry.name for entry in self._session.get_inputs())
        if names != inputs:
            raise ModelError(f"{path} takes {', '.join(names)} instead of {', '.join(inputs)}; export the model again")
        self._inputs, self._outputs = inputs, outputs

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run it once.

        Raises
        ------
        MemoryError
            There is no room for inputs of this size.
        """
        try:
            found: list[NDArray[np.float32]] = self._session.run(
                self._outputs, dict(zip(self._inputs, inputs, strict=True))
            )
        except runtime.RuntimeException as error:
            if any(words in str(error) for words in _OUT_OF_MEMORY):
                raise MemoryError(str(error)) from error
            raise
        return found
