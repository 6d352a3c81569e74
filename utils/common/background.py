"""Work that threads do before its results are used, given in order."""

import collections
import concurrent.futures
from typing import Callable, Deque, Iterable, Iterator, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_background(function: Callable[[Item], Result], items: Iterable[Item], workers: int,
                  ahead: int) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in order.

    workers: how many threads. ahead: how many results are begun before they are asked for, at most.
    What the function raises is raised where its result would be yielded.
    """
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    pending: Deque["concurrent.futures.Future[Result]"] = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown()
