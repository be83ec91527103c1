"""The memory of a layer that sums up all tokens so far in a few tensors, whose sizes do not grow."""

from __future__ import annotations

from torch import Tensor

# A state cannot be taken back. Copies of it at marked places can be gone back to; of so many, the last are kept.
KEPT_MARKS = 2


class StateCache:
    """Tensors that every step changes in place. All zeros: nothing was read yet."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors
        self._length = 0
        self._marks: dict[int, tuple[Tensor, ...]] = {}

    def advance(self, tokens: int) -> None:
        """Count tokens that the tensors have taken in."""
        self._length += tokens

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        return sum(tensor.nbytes for tensors in (self.tensors, *self._marks.values()) for tensor in tensors)

    def mark(self) -> None:
        """Keep a copy of the tensors as they are now; the oldest one goes."""
        if self._length:
            self._marks[self._length] = tuple(tensor.clone() for tensor in self.tensors)
            self._forget(sorted(self._marks)[:-KEPT_MARKS])

    def reach(self, length: int) -> int:
        """The places to go back to are the beginning and the marks."""
        return max(place for place in (0, *self._marks, self._length) if place <= length)

    def roll_back(self, length: int) -> None:
        """Forget every token from index `length` on, which is one that `reach` gave."""
        if length == self._length:
            return
        for index, tensor in enumerate(self.tensors):
            if length:
                tensor.copy_(self._marks[length][index])
            else:
                tensor.zero_()
        self._length = length
        self._forget([place for place in self._marks if place > length])

    def _forget(self, places: list[int]) -> None:
        for place in places:
            del self._marks[place]
