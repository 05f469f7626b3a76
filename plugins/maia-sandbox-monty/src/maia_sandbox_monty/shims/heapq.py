"""`heapq`, on a list that is kept sorted: the first item is the smallest, as in any heap."""
# mypy: allow-untyped-defs, allow-untyped-calls

from bisect import insort


def heapify(heap):
    """Makes a heap of a list, in place."""
    heap.sort()


def heappush(heap, item):
    """Adds an item."""
    insort(heap, item)


def heappop(heap):
    """Removes and returns the smallest item."""
    return heap.pop(0)


def heappushpop(heap, item):
    """Adds an item, then removes and returns the smallest one."""
    insort(heap, item)
    return heap.pop(0)


def nlargest(n, items, key=None):
    """Returns the n largest items, largest first."""
    return sorted(items, key=key, reverse=True)[: max(n, 0)]


def nsmallest(n, items, key=None):
    """Returns the n smallest items, smallest first."""
    return sorted(items, key=key)[: max(n, 0)]
