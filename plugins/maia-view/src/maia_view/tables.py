"""Tables of units and labels as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from maia_core.plugin import PluginError
from maia_eval.forms import cell
from maia_view.units import COLUMNS, UnitRow


def as_csv(rows: Sequence[UnitRow]) -> bytes:
    """Returns units as CSV in UTF-8; no text is taken for a formula by a spreadsheet."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: cell(value) if isinstance(value, str) else value for name, value in row.record().items()}
        )
    return text.getvalue().encode("utf-8", "replace")


def as_parquet(rows: Sequence[UnitRow]) -> bytes:
    """Returns units as Parquet, with the columns of `maia_view.units.COLUMNS`.

    Raises:
        PluginError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PluginError("Parquet needs pyarrow: pip install 'maia-view[parquet]'; or take the CSV") from error
    kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    records = [
        {name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
         for name, value in row.record().items()}
        for row in rows
    ]  # fmt: skip
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records, schema=schema), buffer)
    return buffer.getvalue()
