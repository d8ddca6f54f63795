"""The thread of the model: jobs in their order, and others between the steps of a long one."""

import threading
from concurrent.futures import CancelledError

import pytest
import torch

from softcloze.service.model_thread import ModelThread


@pytest.fixture
def thread():
    made = ModelThread()
    yield made
    made.shutdown()


def test_jobs_run_in_their_order_in_one_thread(thread):
    seen = []
    jobs = [thread.submit(lambda i=i: seen.append(i) or threading.get_ident()) for i in range(50)]
    assert len({job.result(60) for job in jobs}) == 1
    assert seen == [*range(50)]
    with pytest.raises(ZeroDivisionError):
        thread.submit(lambda: 1 / 0).result(60)


def test_jobs_that_wait_run_between_the_steps_of_a_long_one_and_only_once(thread):
    seen, begun, go_on = [], threading.Event(), threading.Event()

    def long():
        with torch.inference_mode():
            begun.set()
            assert go_on.wait(60)
            for step in range(3):
                thread.run_waiting()
                seen.append(f"step {step}")

    def short(i):
        seen.append((i, torch.is_inference_mode_enabled()))
        if i == 0:
            thread.submit(short, 9)  # comes during a step, and waits for the next
        if i == 1:
            raise ValueError

    job = thread.submit(long)
    assert begun.wait(60)
    shorts = [thread.submit(short, i) for i in range(3)]
    shorts[2].cancel()
    go_on.set()
    job.result(60)
    assert isinstance(shorts[1].exception(60), ValueError)
    thread.submit(int).result(60)
    assert seen == [(0, False), (1, False), "step 0", (9, False), "step 1", "step 2"]


def test_jobs_that_wait_can_be_cancelled_at_the_end():
    thread, go_on, begun = ModelThread(), threading.Event(), threading.Event()
    thread.submit(lambda: begun.set() or go_on.wait(60))
    assert begun.wait(60)
    waiting = thread.submit(int)
    thread.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    with pytest.raises(CancelledError):
        waiting.result(60)
