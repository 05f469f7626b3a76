"""What a run has used of its limits."""

from __future__ import annotations

from collections.abc import Iterable


class Budget(dict[str, tuple[float, float]]):
    """Used and allowed amounts, by the name of the limit."""

    def used_up(self, names: Iterable[str] = (), running_seconds: float = 0.0) -> str:
        """Returns which limit is used up, in words; empty if none is.

        Args:
            names: The limits to look at; all of them where it is empty.
            running_seconds: Time of the program that is running, which counts as seconds used.
        """
        for name in names or self:
            used, allowed = self[name]
            if used + running_seconds * (name == "seconds") >= allowed:
                return f"the run's budget of {allowed:g} {name} is used (limits.{name})"
        return ""
