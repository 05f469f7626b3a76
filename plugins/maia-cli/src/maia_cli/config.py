"""`maia config`: Print every key of the configuration: its value, its source and its meaning."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_origin

import click

from maia_cli.options import run_options
from maia_cli.sources import Sources

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig
    from maia_runs.chosen import ChosenPlugin


class Row(NamedTuple):
    """One key of a configuration."""

    key: str
    value: Any
    source: str
    """`default`, `option`, `environment`, or the configuration file."""
    meaning: str
    is_choice: bool = False
    """Whether the value is one of a few that the option allows: never a secret, whatever the key is called."""


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@run_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of text.")
def config(config: RunConfig, keys: tuple[str, ...], as_json: bool) -> None:
    """Print every key of the configuration: its value, its source and its meaning; or only these KEYs and tables.

    The options of the chosen plugins come behind the plugin. `maia run` with the same options uses the same values.
    """
    from maia_core.plugin import UsageError, did_you_mean, printable

    every = list(rows(config, Sources.of_command()))
    for key in keys:
        if not any(_is_in(row.key, key) for row in every):
            raise UsageError(f"the configuration has no key '{key}'.{did_you_mean(key, [row.key for row in every])}")
    chosen = [row for row in every if not keys or any(_is_in(row.key, key) for key in keys)]
    chosen = [
        row if row.is_choice else row._replace(value=_hidden(row.value, row.key.rpartition(".")[2])) for row in chosen
    ]
    if as_json:
        for row in chosen:
            click.echo(json.dumps({name: value for name, value in row._asdict().items() if name != "is_choice"}))
        return
    formatter = click.HelpFormatter(max_width=110)
    formatter.write_dl([(row.key, printable(_text(row))) for row in chosen], col_max=36)
    click.echo(formatter.getvalue().rstrip("\n"))


def _hidden(value: Any, key: str) -> Any:
    """Returns a value without the secrets of the environment, and without texts whose key is the name of a secret."""
    from maia_core.plugin import SECRET, redacted

    if isinstance(value, dict):
        return {redacted(name): _hidden(item, f"{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, key) for item in value]
    return f"[{key}]" if isinstance(value, str) and value and SECRET.search(key.replace("-", "_")) else redacted(value)


def _text(row: Row) -> str:
    value = "not set" if row.value is None else json.dumps(row.value, ensure_ascii=False)
    return f"{value} ({row.source}). {' '.join(row.meaning.split())}"


def _is_in(key: str, table: str) -> bool:
    return key == table or key.startswith(f"{table}.")


def rows(config: RunConfig, sources: Sources, plugins: bool = True) -> Iterator[Row]:
    """Yields every key of a configuration, in the order of its declaration.

    Args:
        config: The configuration.
        sources: Says where a value comes from.
        plugins: Whether the options of the chosen plugins come behind each plugin.
    """
    from maia_core.plugin import PluginRef, cache_dir, installed
    from maia_runs.chosen import chosen_plugins

    chosen = {plugin.key: plugin for plugin in chosen_plugins(config, installed())} if plugins else {}
    for name, field in type(config).model_fields.items():
        value, meaning = getattr(config, name), field.description or ""
        if isinstance(value, PluginRef):
            yield Row(name, value.name, sources.of(name, f"{name}.name"), meaning)
            if name in chosen:
                yield from _options(chosen[name], value.options, sources)
        elif inner_fields := getattr(type(value), "model_fields", None):
            for key, inner in inner_fields.items():
                path = f"{name}.{key}"
                yield Row(path, getattr(value, key), sources.of(path), inner.description or "")
        else:
            plain = config.model_dump(mode="json")[name]
            if name == "tools":
                plain = [tool["name"] if len(tool) == 1 else tool for tool in plain]
            yield Row(name, plain, sources.of(name), meaning)
    source = "environment" if os.environ.get("MAIA_CACHE") else "default"
    yield Row("$MAIA_CACHE", str(cache_dir()), source, "Folder of data that MAIA can compute or fetch again.")


def _options(plugin: ChosenPlugin, written: Mapping[str, Any], sources: Sources) -> Iterator[Row]:
    """Yields the options of a plugin, with the values that it gets.

    Raises:
        PluginError: it is missing, broken or made for another core.
        UsageError: an option is unknown or has a wrong value.
    """
    from maia_core.plugin import installed

    values = plugin.config(installed())
    for key, field in type(values).model_fields.items():
        path = f"{plugin.key}.{key}"
        # What a reference holds, such as the model's name, comes from where the reference does.
        source = sources.of(path if key in written else plugin.key) if key in plugin.options else "default"
        is_choice = get_origin(field.annotation) is Literal
        yield Row(path, values.model_dump(mode="json")[key], source, field.description or "", is_choice)
