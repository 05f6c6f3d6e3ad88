"""Segmentation of a mesh into UV charts: merges neighbouring regions, the cheapest pair first.

The Mumford-Shah functional on normals, minimised by region merging (G. Koepfler et al., SIAM J. Numer. Anal. 1994):
a merge costs the flatness lost for each unit of border that goes away, so borders come out short and straight.
"""

from __future__ import annotations

import heapq

import numpy as np

from . import tuning
from .edges import build_edges
from .surface import Array, crosses


def build_charts(points: Array, triangles: Array, owner: Array, target: int) -> Array:
    """Return per triangle the number of its chart, from 0; triangles of one ``owner`` stay together.

    At most ``target`` charts, unless the mesh has more loose parts or would have to be bent too far for so few.
    """
    owner = np.unique(owner, return_inverse=True)[1]
    regions = _Regions(points, triangles, owner)
    regions.merge(target)
    return regions.labels()[owner]


class _Regions:
    """Per region: area, the sum of normals by area, and the neighbours with the length of the border between."""

    def __init__(self, points: Array, triangles: Array, owner: Array) -> None:
        each, count = crosses(points, triangles) / 2, int(owner.max()) + 1
        normals = np.stack([np.bincount(owner, weights=each[:, axis], minlength=count) for axis in range(3)], axis=1)
        sizes = np.bincount(owner, weights=np.linalg.norm(each, axis=1), minlength=count)
        whole = max(float(sizes.sum()), 1e-300)
        edges = build_edges(triangles, len(points))
        one, other = edges.pairs()
        lengths = np.linalg.norm(points[edges.start[one]] - points[edges.end[one]], axis=1) / np.sqrt(whole)
        self._size: list[float] = (sizes / whole).tolist()
        self._normal: list[list[float]] = (normals / whole).tolist()
        self._around: list[dict[int, float]] = [{} for _ in range(count)]
        for left, right, length in zip(
            owner[edges.face[one]].tolist(), owner[edges.face[other]].tolist(), lengths, strict=True
        ):
            if left != right:
                border = self._around[left].get(right, 0.0) + float(length)
                self._around[left][right] = self._around[right][left] = border
        self._bent = [self._bend(size, normal) for size, normal in zip(self._size, self._normal, strict=True)]
        self._age = [0] * count
        self._into = list(range(count))

    @staticmethod
    def _bend(size: float, normal: list[float]) -> float:
        """Return the integral of the squared distance of the normals from their mean."""
        return size - (normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) / size if size > 1e-15 else 0.0

    def _price(self, one: int, other: int) -> float | None:
        size = self._size[one] + self._size[other]
        normal = [a + b for a, b in zip(self._normal[one], self._normal[other], strict=True)]
        bent = self._bend(size, normal)
        if bent > tuning.CHART_BEND * size:
            return None
        return (bent - self._bent[one] - self._bent[other] + 1e-12) / max(self._around[one][other], 1e-9)

    def merge(self, target: int) -> None:
        """Merge regions until ``target`` are left or no merge is allowed."""
        heap = [
            (price, one, other, 0, 0)
            for one, around in enumerate(self._around)
            for other in around
            if one < other and (price := self._price(one, other)) is not None
        ]
        heapq.heapify(heap)
        left = len(self._into)
        while heap and left > target:
            _, one, other, age, other_age = heapq.heappop(heap)
            stands = self._into[one] == one and self._into[other] == other
            if stands and self._age[one] == age and self._age[other] == other_age:
                one = self._join(one, other)
                left -= 1
                for third in self._around[one]:
                    price = self._price(one, third)
                    if price is not None:
                        heapq.heappush(heap, (price, one, third, self._age[one], self._age[third]))

    def _join(self, one: int, other: int) -> int:
        if len(self._around[one]) < len(self._around[other]):
            one, other = other, one
        self._size[one] += self._size[other]
        self._normal[one] = [a + b for a, b in zip(self._normal[one], self._normal[other], strict=True)]
        self._bent[one] = self._bend(self._size[one], self._normal[one])
        self._into[other] = one
        self._age[one] += 1
        for third, border in self._around[other].items():
            if third != one:
                del self._around[third][other]
                both = self._around[one].get(third, 0.0) + border
                self._around[one][third] = self._around[third][one] = both
        del self._around[one][other]
        self._around[other] = {}
        return one

    def labels(self) -> Array:
        into = np.array(self._into)
        while not np.array_equal(into[into], into):
            into = into[into]
        return np.unique(into, return_inverse=True)[1]
