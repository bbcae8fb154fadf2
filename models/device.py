"""Which device to run on, found out without importing torch as far as that can be."""

from __future__ import annotations

import ctypes
import logging
import sys

from fulgor.errors import DeviceError

__all__ = ["DEVICES", "choose", "choose_for_torch", "driver_version", "gpu_count", "held_bytes"]

DEVICES = ("auto", "cpu", "cuda")

DRIVER = "libcuda.so.1"

log = logging.getLogger(__name__)


def gpu_count() -> int:
    """Return the number of GPUs that the NVIDIA driver offers; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def driver_version() -> str | None:
    """Return the newest CUDA version that the NVIDIA driver serves, such as ``12.4``; None where there is no driver."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return None
    number = ctypes.c_int(0)
    if driver.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def choose(device: str) -> str:
    """Return ``cpu`` or ``cuda`` for what was asked for.

    Parameters
    ----------
    device : str
        ``auto`` takes a GPU where the driver offers one.

    Raises
    ------
    DeviceError
        The name is unknown, or ``cuda`` was asked for and the driver offers no GPU.
    """
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}; choose one of {', '.join(DEVICES)}")
    if device == "cpu":
        return "cpu"
    if gpu_count():
        return "cuda"
    if device == "cuda":
        raise DeviceError("no CUDA device: the NVIDIA driver is absent or offers no GPU; use --device cpu or auto")
    return "cpu"


def choose_for_torch(device: str) -> str:
    """Return ``cpu`` or ``cuda`` for what was asked for, where torch is to compute: a training.

    Parameters
    ----------
    device : str
        ``auto`` takes a GPU where the driver offers one and this torch can use it.

    Raises
    ------
    DeviceError
        As :func:`choose`, or ``cuda`` was asked for and this torch was built without it.
    """
    if choose(device) == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    error = DeviceError(f"torch {torch.__version__} cannot use the GPU; install its CUDA build, or use --device cpu")
    if device == "cuda":
        raise error
    log.warning("a GPU is present but cannot be used, training on the CPU: %s", error)
    return "cpu"


def held_bytes() -> int:
    """Return the GPU memory that torch keeps for this process, in bytes; 0 where nothing here has used a GPU."""
    torch = sys.modules.get("torch")  # not imported: a consumer on a CPU does without it
    return int(torch.cuda.memory_reserved()) if torch is not None and torch.cuda.is_initialized() else 0
