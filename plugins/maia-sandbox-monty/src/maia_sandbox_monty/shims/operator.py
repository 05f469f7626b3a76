"""What programs use of `operator`, most of all as the key of a sort."""
# mypy: allow-untyped-defs, allow-untyped-calls


def itemgetter(*items):
    """Returns a function that gets items of what it is given."""
    if len(items) == 1:
        return lambda value: value[items[0]]
    return lambda value: tuple([value[item] for item in items])


def attrgetter(*names):
    """Returns a function that gets attributes of what it is given."""
    if len(names) == 1:
        return lambda value: getattr(value, names[0])
    return lambda value: tuple([getattr(value, name) for name in names])


def add(a, b):
    """Returns a + b."""
    return a + b


def sub(a, b):
    """Returns a - b."""
    return a - b


def mul(a, b):
    """Returns a * b."""
    return a * b


def truediv(a, b):
    """Returns a / b."""
    return a / b


def neg(a):
    """Returns -a."""
    return -a


def lt(a, b):
    """Returns a < b."""
    return a < b


def gt(a, b):
    """Returns a > b."""
    return a > b


def eq(a, b):
    """Returns a == b."""
    return a == b
