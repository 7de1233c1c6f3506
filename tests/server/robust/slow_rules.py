"""Each rule once more, with lists and Python's own arithmetic, as its paper writes it."""

import math
import statistics
from collections.abc import Callable, Sequence

Point = Sequence[float]


def columns(points: Sequence[Point], reduce: Callable[[list[float]], float]) -> list[float]:
    """`reduce` of each coordinate."""
    return [reduce(list(column)) for column in zip(*points, strict=True)]


def distance(one: Point, other: Point) -> float:
    """Euclid's."""
    return math.dist(one, other)


def mean(points: Sequence[Point]) -> list[float]:
    """Of each coordinate."""
    return columns(points, statistics.fmean)


def median(points: Sequence[Point], f: int) -> list[float]:
    """Of each coordinate."""
    del f
    return columns(points, statistics.median)


def trimmed_mean(points: Sequence[Point], f: int) -> list[float]:
    """Without the f smallest and the f largest."""
    return columns(points, lambda column: statistics.fmean(sorted(column)[f : len(column) - f]))


def scores(points: Sequence[Point], f: int) -> list[float]:
    """Krum's."""
    found = []
    for place, point in enumerate(points):
        others = sorted(distance(point, other) ** 2 for i, other in enumerate(points) if i != place)
        found.append(math.fsum(others[: max(1, len(points) - f - 2)]))
    return found


def krum(points: Sequence[Point], f: int) -> list[float]:
    """The point of the smallest score."""
    found = scores(points, f)
    return list(points[found.index(min(found))])


def multi_krum(points: Sequence[Point], f: int) -> list[float]:
    """The mean of the n - f - 2 of the smallest scores."""
    found = scores(points, f)
    ranked = sorted(range(len(points)), key=found.__getitem__)
    return mean([points[place] for place in ranked[: len(points) - f - 2]])


def bulyan(points: Sequence[Point], f: int) -> list[float]:
    """n - 2f selected by Krum, then the n - 4f around the median of each coordinate."""
    left, chosen = list(points), []
    for _ in range(len(points) - 2 * f):
        found = scores(left, f)
        chosen.append(left.pop(found.index(min(found))))

    def middle(column: list[float]) -> float:
        centre = statistics.median(column)
        near = sorted(sorted(column), key=lambda value: abs(value - centre))
        return statistics.fmean(near[: len(points) - 4 * f])

    return columns(chosen, middle)


def cut(point: Point, longest: float) -> list[float]:
    """The point, no longer than that."""
    length = math.hypot(*point)
    return [value * (longest / length if length > longest else 1.0) for value in point]


def norm_bound(points: Sequence[Point], f: int, bound: float = 0.0) -> list[float]:
    """The mean of all, cut."""
    del f
    longest = bound or statistics.median([math.hypot(*point) for point in points])
    return mean([cut(point, longest) for point in points])


def centred_clipping(points: Sequence[Point], f: int, bound: float = 0.0) -> list[float]:
    """Three steps from the median."""
    centre = median(points, f)
    for _ in range(3):
        away = [[a - b for a, b in zip(point, centre, strict=True)] for point in points]
        longest = bound or statistics.median([math.hypot(*point) for point in away])
        step = mean([cut(point, longest) for point in away])
        centre = [a + b for a, b in zip(centre, step, strict=True)]
    return centre


RULES = {
    "median": median,
    "trimmed_mean": trimmed_mean,
    "krum": krum,
    "multi_krum": multi_krum,
    "bulyan": bulyan,
    "centred_clipping": centred_clipping,
    "norm_bound": norm_bound,
}
