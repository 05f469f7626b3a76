"""The `auto` sandbox: the strongest one that works here, or none. It never runs programs in the host process."""

from __future__ import annotations

from maia_core.plugin import PluginConfig, RunContext, Sandbox, SandboxError
from maia_sandbox import lockdown
from maia_sandbox.process import ProcessSandbox


def auto(config: PluginConfig, context: RunContext) -> Sandbox:
    """Makes a `process` sandbox, else one of the plugin `monty` where it is installed.

    Raises:
        SandboxError: neither can work here; the message says what is missing.
    """
    missing = lockdown.missing()
    if not missing:
        return ProcessSandbox(ProcessSandbox.Config(), context)
    if context.registry.find("sandbox", "monty") is not None:
        monty: Sandbox = context.registry.build("sandbox", "monty", {}, context)
        return monty
    raise SandboxError(f"no sandbox works here. process: {missing}. monty: pip install maia-sandbox-monty")
