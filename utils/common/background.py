"""Work that threads do ahead of its use, given in order."""

import collections
import concurrent.futures


def in_background(function, items, workers, ahead):
    """Apply `function` to `items` in threads; yield the results in order, at most `ahead` wait."""
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    pending = collections.deque()
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
