"""Work that threads do before its results are used, given in order."""

import collections
import concurrent.futures
from typing import Callable, Deque, Iterable, Iterator, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_background(function: Callable[[Item], Result], items: Iterable[Item], workers: int,
                  most_pending: int) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in order.

    workers: how many threads. most_pending: how many results, at most, are begun before they are
    asked for. What the function raises is raised where its result would be yielded.
    """
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    pending: Deque["concurrent.futures.Future[Result]"] = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= most_pending:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown()
