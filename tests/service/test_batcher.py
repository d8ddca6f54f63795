"""Rows of concurrent requests are gathered by their tokens, in turn, and none is lost."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from softcloze.service.batcher import Batcher, DeadlineError, OverloadedError


class Model:
    """Answers items by doubling them, records its batches, and waits for `release` if it is held."""

    def __init__(self):
        self.batches = []
        self.release = threading.Event()
        self.release.set()

    def score(self, items):
        self.batches.append(list(items))
        assert self.release.wait(10)
        if "broken" in items:
            raise ValueError("broken")
        return [2 * item for item in items]


@asynccontextmanager
async def running(model, *, max_tokens=10, min_tokens=None, max_wait=60.0):
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(model.score, executor, max_tokens=max_tokens, min_tokens=min_tokens, max_wait=max_wait)
        task = asyncio.create_task(batcher.run())
        try:
            yield batcher
        finally:
            model.release.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def later(seconds=60.0):
    return asyncio.get_running_loop().time() + seconds


async def answers_of(*requests):
    """The answers of requests, in order, once they are finished."""
    await asyncio.gather(*(request.finished for request in requests))
    return [answer for request in requests for answer in request.answers]


async def busy(batcher, model):
    """Hold the model with a first row, so that what follows gathers."""
    model.release.clear()
    first = batcher.submit([(0, 1)], later())
    while not model.batches:
        await asyncio.sleep(0.001)
    return first


def test_answers_come_in_the_order_of_the_rows():
    async def main():
        async with running(Model()) as batcher:
            assert await answers_of(batcher.submit([(i, 3) for i in range(20)], later())) == [*range(0, 40, 2)]
            assert (batcher.queued_rows, batcher.queued_tokens) == (0, 0)

    asyncio.run(main())


def test_a_row_that_comes_alone_does_not_wait_for_others():
    async def main():
        model = Model()
        async with running(model, max_tokens=1000) as batcher:
            assert await answers_of(batcher.submit([(1, 1)], later())) == [2]
        assert model.batches == [[1]]

    asyncio.run(main())


def test_rows_gather_while_the_model_works_up_to_the_tokens_of_a_batch():
    async def main():
        model = Model()
        async with running(model) as batcher:
            requests = [await busy(batcher, model)]
            requests += [batcher.submit([(i, 4)], later()) for i in range(1, 6)]
            model.release.set()
            await answers_of(*requests)
        assert model.batches == [[0], [1, 2], [3, 4], [5]]

    asyncio.run(main())


def test_a_batch_that_would_take_long_has_no_more_than_the_least_tokens():
    async def main():
        model = Model()
        async with running(model, max_tokens=1000, min_tokens=10) as batcher:
            first = await busy(batcher, model)
            many = batcher.submit([(i, 4) for i in range(1, 6)], later())
            await asyncio.sleep(0.15)  # a token in so many seconds: ten would take more than half a second
            model.release.set()
            await answers_of(first, many)
        assert model.batches[:2] == [[0], [1, 2]]

    asyncio.run(main())


def test_a_batch_of_which_no_time_is_known_may_have_all_tokens():
    async def main():
        model = Model()
        async with running(model, max_tokens=20, min_tokens=4) as batcher:
            await answers_of(batcher.submit([(i, 4) for i in range(1, 8)], later()))
        assert model.batches[0] == [1, 2, 3, 4, 5]

    asyncio.run(main())


def test_requests_take_turns():
    async def main():
        model = Model()
        async with running(model) as batcher:
            first = await busy(batcher, model)
            many = batcher.submit([(i, 5) for i in range(1, 7)], later())
            single = batcher.submit([(100, 5)], later())
            model.release.set()
            await answers_of(first, many, single)
        assert model.batches[1] == [1, 100]

    asyncio.run(main())


def test_of_several_lists_the_oldest_has_what_the_turns_leave_of_a_batch():
    async def main():
        model = Model()
        async with running(model) as batcher:
            requests = [await busy(batcher, model)]
            requests += [batcher.submit([(100 * i + j, 2) for j in range(4)], later(60 + i)) for i in range(1, 4)]
            model.release.set()
            await answers_of(*requests)
        assert model.batches[1:] == [[100, 200, 300, 101, 102], [103, 201, 301, 202, 203], [302, 303]]

    asyncio.run(main())


def test_a_row_longer_than_a_batch_is_scored_alone():
    async def main():
        model = Model()
        async with running(model) as batcher:
            first = await busy(batcher, model)
            others = batcher.submit([(1, 3), (2, 1000), (3, 3)], later())
            model.release.set()
            assert await answers_of(first, others) == [0, 2, 4, 6]
        assert [2] in model.batches

    asyncio.run(main())


async def measured(batcher, tokens):
    """Have the batcher score a row, so that it knows how long tokens take."""
    with batcher.reserve(tokens):  # an empty queue takes any
        assert await answers_of(batcher.submit([(1, tokens)], later())) == [2]


def test_too_much_work_is_turned_away_as_a_whole_before_it_is_encoded():
    async def main():
        async with running(Model(), max_wait=1e-9) as batcher:
            await measured(batcher, 10**9)
            with batcher.reserve(10**9):
                with pytest.raises(OverloadedError) as raised:
                    batcher.reserve(2).__enter__()
                request = batcher.submit([(2, 1), (3, 1)], later())  # what was let in is never turned away
                assert raised.value.retry_after >= 1
                assert batcher.queued_tokens == 10**9 + 2
            assert await answers_of(request) == [4, 6]
            assert (batcher.queued_rows, batcher.queued_tokens) == (0, 0)
            batcher.reserve(1).__enter__()

    asyncio.run(main())


def test_requests_are_turned_away_unread_before_the_queue_is_full():
    async def main():
        async with running(Model()) as batcher:
            await measured(batcher, 1000)
            full = 60 * batcher.tokens_per_second
            with batcher.reserve(round(0.8 * full)):
                batcher.validate_wait()
            with batcher.reserve(round(0.95 * full)):
                with pytest.raises(OverloadedError):
                    batcher.validate_wait()
                with batcher.reserve(round(0.04 * full)):  # of those that are read already
                    pass

    asyncio.run(main())


def test_only_the_row_that_cannot_be_scored_fails():
    async def main():
        async with running(Model()) as batcher:
            one, broken, three = await answers_of(batcher.submit([(1, 1), ("broken", 1), (3, 1)], later()))
            assert (one, three) == (2, 6)
            assert isinstance(broken, ValueError)
            assert await answers_of(batcher.submit([(4, 1)], later())) == [8]

    asyncio.run(main())


def test_rows_that_nobody_waits_for_are_not_scored():
    async def main():
        model = Model()
        async with running(model) as batcher:
            first = await busy(batcher, model)
            gone, kept = batcher.submit([(1, 1), (3, 1)], later()), batcher.submit([(2, 1)], later())
            gone.finished.cancel()
            model.release.set()
            assert await answers_of(first, kept) == [0, 4]
            assert batcher.queued_tokens == 0
        assert model.batches == [[0], [2]]

    asyncio.run(main())


def test_a_row_whose_deadline_passed_is_not_scored():
    async def main():
        model = Model()
        async with running(model) as batcher:
            first = await busy(batcher, model)
            late = batcher.submit([(1, 1)], later(-1.0))
            model.release.set()
            zero, error = await answers_of(first, late)
            assert zero == 0
            assert isinstance(error, DeadlineError)
        assert model.batches == [[0]]

    asyncio.run(main())


def test_draining_waits_for_all_rows():
    async def main():
        model = Model()
        async with running(model) as batcher:
            requests = [await busy(batcher, model), batcher.submit([(i, 5) for i in range(1, 9)], later())]
            drained = asyncio.create_task(batcher.drain())
            await asyncio.sleep(0.01)
            assert not drained.done()
            model.release.set()
            await drained
            assert all(request.finished.done() for request in requests)

    asyncio.run(main())


def test_a_batch_has_one_group_and_others_keep_their_order():
    async def main():
        model = Model()
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(model.score, executor, max_tokens=10, max_wait=60.0, group=lambda item: item // 100)
            task = asyncio.create_task(batcher.run())
            requests = [await busy(batcher, model)]
            for item, tokens in ((101, 4), (1, 4), (201, 1), (102, 4), (103, 4), (2, 4), (202, 1)):
                requests.append(batcher.submit([(item, tokens)], later()))
            model.release.set()
            await answers_of(*requests)
            task.cancel()
        assert model.batches == [[0], [101, 102], [1, 2], [201, 202], [103]]

    asyncio.run(main())
