"""The files of an evaluation's tables."""

import pytest

from maia_eval.tables import write_tables


def test_a_linked_folder_of_tables_is_not_written_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tables.md").write_text("the user's")
    (tmp_path / "tables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        write_tables({"scores": [{"unit": 1}]}, tmp_path / "tables")
    assert [path.read_text() for path in (tmp_path / "elsewhere").iterdir()] == ["the user's"]
