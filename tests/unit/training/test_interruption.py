import os
import signal
import threading

import pytest

from blood_cell_system.training.loop import deferred_interrupt


def test_the_first_interrupt_is_a_wish_and_the_second_one_stops():
    with deferred_interrupt() as interruption:
        assert not interruption.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_an_end_from_outside_is_a_wish_as_well(name):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        check_a_wish(number)
    finally:
        # Under nohup it was ignored.
        signal.signal(number, before)


def check_a_wish(number):
    with deferred_interrupt() as interruption:
        os.kill(os.getpid(), number)
        assert interruption.is_set()
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred_interrupt() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_afterwards_interrupts_work_as_before():
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_changes():
    outcome = []

    def work():
        with deferred_interrupt() as interruption:
            outcome.append(interruption.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == [False]
