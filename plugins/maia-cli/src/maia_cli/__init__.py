"""The commands `maia run`, `maia prompt` and `maia plugins`, and the options that other commands share with them."""

from maia_cli.options import (
    PARTS,
    config_options,
    option_value,
    process_started,
    result_options,
    run_options,
    without_option,
)
from maia_cli.run import run_and_print

__all__ = [
    "PARTS",
    "config_options",
    "option_value",
    "process_started",
    "result_options",
    "run_and_print",
    "run_options",
    "without_option",
]
