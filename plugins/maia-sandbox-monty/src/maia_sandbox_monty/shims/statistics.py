"""What experiments use of `statistics`; results are floats (Python's own also keeps fractions and decimals)."""
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code=var-annotated

import math


def _numbers(data, least, name):
    values = [float(value) for value in data]
    if len(values) < least:
        raise ValueError(f"{name} requires at least {least} data point{'s' if least > 1 else ''}")
    return values


def mean(data):
    """Returns the arithmetic mean."""
    values = _numbers(data, 1, "mean")
    return math.fsum(values) / len(values)


def fmean(data, weights=None):
    """Returns the arithmetic mean, weighted where weights are given."""
    values = _numbers(data, 1, "fmean")
    if weights is None:
        return math.fsum(values) / len(values)
    factors = _numbers(weights, 1, "fmean")
    if len(factors) != len(values):
        raise ValueError("data and weights must be the same length")
    return math.fsum([value * factor for value, factor in zip(values, factors, strict=True)]) / math.fsum(factors)


def geometric_mean(data):
    """Returns the geometric mean."""
    values = _numbers(data, 1, "geometric_mean")
    if min(values) < 0:
        raise ValueError("geometric_mean requires non-negative numbers")
    return 0.0 if min(values) == 0 else math.exp(math.fsum([math.log(value) for value in values]) / len(values))


def harmonic_mean(data):
    """Returns the harmonic mean."""
    values = _numbers(data, 1, "harmonic_mean")
    if min(values) < 0:
        raise ValueError("harmonic_mean requires non-negative numbers")
    return 0.0 if min(values) == 0 else len(values) / math.fsum([1 / value for value in values])


def median(data):
    """Returns the middle value, or the mean of the two in the middle."""
    values = sorted(data)
    _numbers(values, 1, "median")
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def median_low(data):
    """Returns the middle value, or the lower of the two in the middle."""
    values = sorted(data)
    _numbers(values, 1, "median_low")
    return values[(len(values) - 1) // 2]


def median_high(data):
    """Returns the middle value, or the higher of the two in the middle."""
    values = sorted(data)
    _numbers(values, 1, "median_high")
    return values[len(values) // 2]


def multimode(data):
    """Returns the most frequent values, in the order in which they come."""
    counts = {}
    for value in data:
        counts[value] = counts.get(value, 0) + 1
    most = max(counts.values(), default=0)
    return [value for value, count in counts.items() if count == most]


def mode(data):
    """Returns the most frequent value, the first of several."""
    found = multimode(data)
    if not found:
        raise ValueError("no mode for empty data")
    return found[0]


def _squares(values, center):
    center = math.fsum(values) / len(values) if center is None else center
    return math.fsum([(value - center) ** 2 for value in values])


def pvariance(data, mu=None):
    """Returns the variance of a whole population."""
    values = _numbers(data, 1, "pvariance")
    return _squares(values, mu) / len(values)


def variance(data, xbar=None):
    """Returns the variance of a sample."""
    values = _numbers(data, 2, "variance")
    return _squares(values, xbar) / (len(values) - 1)


def pstdev(data, mu=None):
    """Returns the standard deviation of a whole population."""
    return math.sqrt(pvariance(data, mu))


def stdev(data, xbar=None):
    """Returns the standard deviation of a sample."""
    values = _numbers(data, 2, "stdev")
    return math.sqrt(_squares(values, xbar) / (len(values) - 1))


def quantiles(data, *, n=4, method="exclusive"):
    """Returns the n - 1 points that cut the sorted data into n parts of equal probability."""
    values = sorted(_numbers(data, 2, "quantiles"))
    if n < 1:
        raise ValueError("n must be at least 1")
    if method not in ("exclusive", "inclusive"):
        raise ValueError(f"Unknown method: {method!r}")
    inclusive = method == "inclusive"
    last = len(values) - 1 if inclusive else len(values) + 1
    cuts = []
    for i in range(1, n):
        at = i * last // n
        if not inclusive:
            at = min(max(at, 1), len(values) - 1)
        part = i * last - at * n
        low = at if inclusive else at - 1
        cuts.append((values[low] * (n - part) + values[low + 1] * part) / n)
    return cuts


def _pairs(x, y, name):
    first, second = _numbers(x, 2, name), _numbers(y, 2, name)
    if len(first) != len(second):
        raise ValueError(f"{name} requires that both inputs have same number of data points")
    center, other = math.fsum(first) / len(first), math.fsum(second) / len(second)
    return first, second, math.fsum([(a - center) * (b - other) for a, b in zip(first, second, strict=True)])


def covariance(x, y):
    """Returns the covariance of two samples."""
    first, _, products = _pairs(x, y, "covariance")
    return products / (len(first) - 1)


def correlation(x, y):
    """Returns Pearson's correlation of two samples."""
    first, second, products = _pairs(x, y, "correlation")
    both = _squares(first, None) * _squares(second, None)
    if both == 0:
        raise ValueError("at least one of the inputs is constant")
    return products / math.sqrt(both)


def linear_regression(x, y):
    """Returns slope and intercept of the least-squares line, as a tuple."""
    first, second, products = _pairs(x, y, "linear_regression")
    squares = _squares(first, None)
    if squares == 0:
        raise ValueError("x is constant")
    slope = products / squares
    return slope, math.fsum(second) / len(second) - slope * (math.fsum(first) / len(first))
