"""The backbone: a client of `maia mcp`, whose tool calls are its replies."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Protocol

from maia_core.plugin import (
    BackboneInfo,
    CallLimits,
    Message,
    ModelOption,
    PluginConfig,
    Reply,
    RunContext,
    UsageError,
)

NO_CLIENT = (
    "a client of the Model Context Protocol drives this backbone: start `maia mcp`, and let the client call start_run "
    "(with resume=RUN, the name of a run, to resume one)"
)


class Driver(Protocol):
    """The side of the server that the run's thread talks to."""

    def reply(self, messages: Sequence[Message]) -> str:
        """Hands the new messages to the client, and waits for its reply."""


DRIVER: ContextVar[Driver | None] = ContextVar("maia_mcp_driver", default=None)
"""The driver of the run that is made in this thread."""


class McpClient:
    """The language model of any MCP client, such as Claude Code: `maia mcp` hands its calls to the run."""

    class Config(PluginConfig):
        """The client."""

        client: str = ""
        """Name that the client gives itself, for the record."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Makes the backbone.

        Raises:
            UsageError: no server of `maia mcp` makes this run.
        """
        driver = DRIVER.get()
        if driver is None:
            raise UsageError(f"cannot run the backbone 'mcp' by itself: {NO_CLIENT}")
        self._driver = driver
        # A client has its own window and its own memory of the conversation; its thinking is not time of the run.
        self.info = BackboneInfo(name=f"mcp:{config.client}", model=config.client, timed=False)

    @staticmethod
    def models() -> list[ModelOption]:
        """See `maia_core.protocols.ListsModels`."""
        return [ModelOption(info=BackboneInfo(name="mcp"), input_price=0.0, output_price=0.0, note=NO_CLIENT)]

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """See `maia_core.protocols.Backbone`. Of `limits` nothing is used: the client decides how long it thinks.

        Raises:
            KeyboardInterrupt: the client stopped the run, or the server ends.
        """
        return Reply(text=self._driver.reply(messages), model=self.info.name)
