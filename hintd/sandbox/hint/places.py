"""Where the n-th record stands in an order of a million that changes all the time."""

from __future__ import annotations

from collections.abc import Iterator

_BLOCK = 4096


class Places:
    """Places in the order they were given out; who leaves one never comes back to it.

    Finding the n-th that is taken looks at a count per block instead of at every place.
    """

    def __init__(self, taken: int) -> None:
        """So many places, taken all."""
        self._taken = bytearray(b"\1") * taken
        self._counts = [min(_BLOCK, taken - start) for start in range(0, taken, _BLOCK)]

    def __len__(self) -> int:
        """How many places were ever given out."""
        return len(self._taken)

    def append(self, *, taken: bool) -> None:
        if len(self._taken) % _BLOCK == 0:
            self._counts.append(0)
        self._taken.append(taken)
        self._counts[-1] += taken

    def leave(self, place: int) -> None:
        self._counts[place // _BLOCK] -= self._taken[place]
        self._taken[place] = 0

    def before(self, place: int) -> int:
        """How many of the places before this one are taken."""
        block = place // _BLOCK
        return sum(self._counts[:block]) + self._taken.count(1, block * _BLOCK, place)

    def taken_from(self, number: int) -> Iterator[int]:
        """The taken places in their order, from the one that has ``number`` taken ones before it."""
        block = 0
        while block < len(self._counts) and number >= self._counts[block]:
            number -= self._counts[block]
            block += 1
        place = self._taken.find(1, block * _BLOCK)
        while place >= 0:
            if number == 0:
                yield place
            else:
                number -= 1
            place = self._taken.find(1, place + 1)
