"""A process of a simulation that is killed while it tells what it has made: a module, for it is started anew."""

from __future__ import annotations

import os
import signal
import struct
from multiprocessing.connection import Connection


def die_in_the_middle_of_a_message(results: Connection, portions: object) -> None:
    os.write(results.fileno(), struct.pack("!i", 2_000_000) + bytes(1000))  # as it begins a portion of megabytes
    os.kill(os.getpid(), signal.SIGKILL)
