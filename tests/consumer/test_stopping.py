import signal
import subprocess
import sys
from contextlib import suppress
from threading import Thread

import pytest

from fulgor.consumer.stopping import Stopping, stopped_by_signals, without_ctrl_c


def interrupted(stopping, work):
    """Do `work`, setting `stopping` before each line of Python that it runs, as a signal handler might."""

    def trace(frame, kind, _argument):
        if frame.f_code.co_filename != __file__:
            sys.settrace(None)
            stopping.set()
            sys.settrace(trace)
        return trace

    def traced():
        sys.settrace(trace)
        try:
            work(stopping)
        finally:
            sys.settrace(None)

    thread = Thread(target=traced, daemon=True)
    thread.start()
    thread.join(60.0)
    return not thread.is_alive()


@pytest.mark.parametrize(
    "work", [lambda stopping: stopping.set(), lambda stopping: stopping.wait(0.01), lambda stopping: stopping.is_set()]
)
def test_a_signal_in_the_middle_of_anything_leaves_no_lock_taken(work):
    assert interrupted(Stopping(), work)


def test_a_wait_ends_at_once_for_everybody_and_stays_ended():
    stopping = Stopping()
    ends = []
    waiting = [Thread(target=lambda: ends.append(stopping.wait(3600.0)), daemon=True) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert not stopping.wait(0.01)
    stopping.set()
    for thread in waiting:
        thread.join(60.0)
    assert ends == [True] * 3
    assert stopping.wait()
    assert stopping.is_set()


def test_the_first_signal_says_it_and_the_second_ctrl_c_interrupts():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stopping = Stopping()
    reached = []
    with suppress(KeyboardInterrupt), stopped_by_signals(stopping):
        signal.raise_signal(signal.SIGTERM)
        reached.append(stopping.wait(60.0))
        signal.raise_signal(signal.SIGTERM)
        reached.append("a service manager's second signal changes nothing")
        signal.raise_signal(signal.SIGINT)
        reached.append("not interrupted")
    assert len(reached) == 2
    assert before == {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}


def test_a_process_that_is_started_without_ctrl_c_does_not_hear_one_while_it_loads():
    program = "import signal, sys; signal.raise_signal(signal.SIGINT); print('loaded')"
    with without_ctrl_c():
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "loaded\n", "")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_first_process_of_all_is_started_without_ctrl_c_too():
    program = """
import signal
from multiprocessing.resource_tracker import ensure_running
from fulgor.consumer.stopping import without_ctrl_c
with without_ctrl_c():
    ensure_running()  # as the first process of multiprocessing does
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
