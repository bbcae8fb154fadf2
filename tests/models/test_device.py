from __future__ import annotations

import sys

import pytest

from fulgor.errors import DeviceError
from fulgor.models import device


def test_no_driver_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "DRIVER", "libnone.so.1")
    assert device.gpu_count() == 0
    assert device.choose("auto") == "cpu"
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it, which takes seconds, would be an error
    with pytest.raises(DeviceError, match="use --device cpu or auto"):
        device.choose("cuda")


@pytest.mark.parametrize(("asked", "gpus", "chosen"), [("auto", 1, "cuda"), ("cuda", 2, "cuda"), ("cpu", 1, "cpu")])
def test_a_gpu_is_taken_when_wanted(asked: str, gpus: int, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpu_count", lambda: gpus)
    assert device.choose(asked) == chosen


def test_unknown_device_is_refused() -> None:
    with pytest.raises(DeviceError, match="unknown device 'tpu'; choose one of auto, cpu, cuda"):
        device.choose("tpu")


def test_a_driver_that_fails_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def cuInit(self, flags: int) -> int:  # the driver's own name
            return 100

    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: Broken())
    assert device.gpu_count() == 0


def test_a_gpu_that_torch_cannot_use_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "gpu_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device.choose_for_torch("auto") == "cpu"
    assert "training on the CPU" in caplog.text
    with pytest.raises(DeviceError, match="cannot use the GPU; install its CUDA build"):
        device.choose_for_torch("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert device.choose_for_torch("auto") == "cuda"


def test_memory_is_what_torch_keeps_on_a_gpu_and_nothing_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda: 12)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    assert device.held_bytes() == 0
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    assert device.held_bytes() == 12
    monkeypatch.delitem(sys.modules, "torch")
    assert device.held_bytes() == 0
