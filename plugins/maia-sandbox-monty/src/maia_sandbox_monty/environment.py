"""What a program gets of its environment: the modules that it may import, and a clock."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from maia_sandbox.runtime import Clock
from maia_sandbox_monty import prelude
from maia_sandbox_monty.traceback import UNAVAILABLE


class Environment:
    """Answers the system calls of one program. Monty itself refuses files, environment variables and all the rest.

    Attributes:
        modules: What an import gives, by the module's name.
    """

    def __init__(self, number: int) -> None:
        self.modules: dict[str, Any] = {}
        self._clock = Clock()
        self._clock.begin(number)

    def ask(self, name: str, arguments: Sequence[Any]) -> tuple[bool, Any]:
        """Returns whether the call is answered here, and its value.

        Raises:
            ModuleNotFoundError: the program imports a module that it may not have.
        """
        if name == "import":
            module = str(arguments[0])
            if module not in self.modules:
                raise ModuleNotFoundError(_no_module(module))
            return True, self.modules[module]
        if name == "time.time":
            return True, self._clock.seconds()
        if name == "datetime.now":
            zone = arguments[0]  # None or a time zone: Monty refuses anything else.
            now = self._now(zone or datetime.UTC)
            return True, now if zone else now.replace(tzinfo=None)
        if name == "date.today":
            return True, self._now(datetime.UTC).date()
        return False, None

    def _now(self, zone: datetime.tzinfo) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock.seconds(), zone)


def _no_module(name: str) -> str:
    text = f"No module named '{name}' in the experiment sandbox (available: {', '.join(prelude.AVAILABLE)})"
    if name.partition(".")[0] in ("numpy", "PIL"):
        return f"{text}. {name} is {UNAVAILABLE}"
    return text
