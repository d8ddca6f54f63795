"""The one thread that runs the model, and its jobs."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import torch


class ModelThread(Executor):
    """An executor of one thread, in which a long job lets those that wait go first between its steps.

    Models are used by a single thread at a time. Texts take seconds to write, and all other jobs milliseconds: a job
    that writes calls `run_waiting` after each token.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "model")
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Queue a job."""
        future: Future[Any] = Future()
        self._jobs.append((future, partial(job, *args, **kwargs)))
        self._pool.submit(self._run_next)
        return future

    def run_waiting(self) -> None:
        """Run the jobs that wait now; called by a job between two steps of its work with the model.

        At most one of the jobs that wait at a time may call this.
        """
        for _ in range(len(self._jobs)):
            with torch.inference_mode(mode=False):  # what they keep is used outside of the job that lets them run
                self._run_next()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread once its jobs are done, or those that wait are cancelled."""
        while cancel_futures and self._jobs:
            self._jobs.popleft()[0].cancel()
        self._pool.shutdown(wait)

    def _run_next(self) -> None:
        """Run the job that waits longest, if a longer job has not let it run already."""
        try:
            future, job = self._jobs.popleft()
        except IndexError:
            return
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
            future.set_exception(error)
        else:
            future.set_result(result)
