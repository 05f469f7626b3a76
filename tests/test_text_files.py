"""Every text file that a user gives is read with a byte order mark too: spreadsheets and Windows write one."""

import json

import pytest

from maia_baselines import human
from maia_baselines.concepts import _lines as concepts_in
from maia_core.context import load
from maia_datasets.webdataset import _lines as classes_in
from maia_eval.choices import units_in
from maia_eval.faithful import prompts
from maia_sweep.units import words_in
from maia_synthetic.lists import _own_file
from maia_torch.own import class_names

PROMPTS = [{"prompt": "a red disc", "kind": "thing", "words": ["disc"], "query": "red disc"}]
NEURONS = {"monosemantic": ["cat"], "polysemantic_or": [["cat", "dog"]], "conditional_a_given_b": []}
READERS = {
    "classes of a model": (class_names, "c.txt", "cat\ndög\n"),
    "classes of shards": (classes_in, "c.txt", "cat\ndög\n"),
    "units of an evaluation": (units_in, "u.txt", "m:l:1\nm:l:cät\n"),
    "units of a sweep": (words_in, "u.txt", "m:l:1\nm:l:cät\n"),
    "concepts": (lambda path: [*concepts_in(path)], "s.txt", "tiger\ndög\n"),
    "prompts": (prompts, "p.json", json.dumps(PROMPTS)),
    "labels of people": (human.read, "l.csv", "unit,label\nm:l:1,dög\n"),
    "labels in JSON": (human.read, "l.json", '[{"unit": "m:l:1", "label": "dög"}]'),
    "neurons": (_own_file, "n.json", json.dumps(NEURONS)),
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_changes_nothing(tmp_path, name, encoding):
    read, file, text = READERS[name]
    path = tmp_path / file
    path.write_text(text, encoding="utf-8")
    expected = repr(read(str(path) if read is class_names else path))
    path.write_text(text, encoding=encoding)
    assert repr(read(str(path) if read is class_names else path)) == expected


def test_a_byte_order_mark_is_not_a_part_of_the_first_key(tmp_path):
    file = tmp_path / "maia.toml"
    file.write_text("seed = 7\n", encoding="utf-8-sig")
    assert load(file).seed == 7


def test_only_a_line_end_ends_the_name_of_a_class(tmp_path):
    """Of the separators that `str.splitlines` knows, one in a name would shift all classes behind it."""
    file = tmp_path / "classes.txt"
    file.write_text("a\u2028b\nc\x0bd\ne\x85f\n", encoding="utf-8")
    assert class_names(str(file)) == classes_in(file)[:3] == ["a\u2028b", "c\x0bd", "e\x85f"]
