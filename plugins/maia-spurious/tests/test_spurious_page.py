"""The page of a study and the section of a run's report: what they show, and that no text becomes markup."""

from html.parser import HTMLParser

import pytest

from maia_core.events import HostCall
from maia_spurious.observer import last_named, report_sections
from maia_spurious.page import render
from maia_spurious.results import AGENT, Decision, Results, UnitResult
from maia_spurious.rows import Row, comparisons

EVIL = "</td></style><script>alert(1)</script>'\"\u202e"


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def row(name, training, *accuracy, units=2.0):
    return Row(name=name, training=training, units=units, accuracy=accuracy, worst=accuracy)


def results(text="pig", run="runs/one"):
    rows = (
        row("all units, original network", "unbalanced", 0.2, 0.3, 0.25, units=512),
        row(AGENT, "unbalanced", 0.8, 0.9, 0.88),
        row("l1, 2 units", "unbalanced", 0.5, 0.6, 0.55),
        row("l1, 2 units", "balanced", 0.9, 0.95, 0.99),
    )
    unit = UnitResult(
        unit=7, selective=True, share=0.93, best=text, table=((1.0, None, 0.5), (0.0, None, 0.25)),
        decisions={AGENT: Decision(keep=True, label=text, run=run), text: Decision(keep=False, label=text)},
    )  # fmt: skip
    return Results(
        system=text, dataset={"name": text}, classes=(text, "rabbit"), environments=("grass", text, "snow"),
        units=(unit,), rows=rows,
    )  # fmt: skip


def test_the_page_shows_rows_intervals_differences_and_every_unit_with_its_run(tmp_path):
    (tmp_path / "runs/one").mkdir(parents=True)
    (tmp_path / "runs/one/report.html").write_text("")
    page = Page(render(results(), tmp_path))
    for text in ("86 %", "0.860", "agent minus l1, 2 units (unbalanced)", "Unit 7", "selective for pig", "93 %"):
        assert text in page.text, text
    assert {"href": "runs/one/report.html"} in [attributes for tag, attributes in page.elements if tag == "a"]
    # An environment that no image shows has no column: two classes in two environments.
    assert sum(tag == "td" and attributes.get("class", "").startswith("h") for tag, attributes in page.elements) == 4
    assert "h10" in [attributes.get("class") for _, attributes in page.elements]


def test_no_text_of_the_results_becomes_markup_or_a_link(tmp_path):
    for run in ("javascript:alert(1)", "../../etc", "/etc", EVIL):
        page = Page(render(results(EVIL, run), tmp_path))
        assert not [tag for tag, _ in page.elements if tag in ("script", "img")]
        assert "alert(1)" in page.text
        links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
        assert not [link for link in links if ":" in link or ".." in link or link.startswith("/")]
        assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_rows_are_compared_by_seed_and_the_share_of_the_gap_is_a_ratio_of_means():
    found = {name: figures for name, *figures in comparisons(results().rows, AGENT)}
    mean, low, high = found["agent minus l1, 2 units (unbalanced)"]
    assert mean == pytest.approx(0.31)
    # Differences 0.30, 0.30, 0.33: deviation 0.01732, Student's quantile at two degrees of freedom 4.303.
    assert (low, high) == pytest.approx((0.31 - 4.303 * 0.01732, 0.31 + 4.303 * 0.01732), abs=1e-4)
    share = found["share of the gap from l1 of the same size to balanced, same size"]
    assert share[0] == pytest.approx(0.31 / ((0.4 + 0.35 + 0.44) / 3))
    assert share[1] < share[0] < share[2]
    assert "share of the gap from all units, original network to balanced, same size" in found
    assert comparisons(results().rows[:1], AGENT) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a small pig on grass", "pig"),
        ("a pig on grass, replace it with a penguin", "penguin"),
        ("Pigs everywhere", "pig"),
        ("a guinea pig", "guinea pig"),
        ("a pigment", ""),
    ],
)
def test_the_class_that_a_prompt_names_last_counts(text, name):
    assert last_named(text, ["pig", "penguin", "guinea pig"]) == name


class Recorded:
    """A run whose record holds plain values: images stand as themselves."""

    def __init__(self, config, calls):
        self.manifest = type("Manifest", (), {"config": config})
        self.calls = calls

    def of_type(self, kind):
        assert kind is HostCall
        return self.calls

    def value(self, data):
        return data


def call(method, result):
    return type("Call", (), {"method": method, "error": "", "result": result})


def test_a_report_gets_the_table_of_what_was_generated_and_edited():
    from maia_core.testing import disc

    task = {"name": "spurious-feature", "classes": ["pig", "penguin"], "environments": ["grass", "snow"]}
    made = [disc("red", seed, 32).retitled(title) for seed, title in enumerate(("a pig on grass", "a dog", "exemplar"))]
    edited = disc("blue", 9, 32).retitled("replace it with a penguin and change the background to snow")
    calls = [
        call("tools.edit_images", ([made[2], edited], ["exemplar", edited.title])),
        call("system.neuron", ([3.0, 5.0, 7.0], [made[0], made[1], edited])),
        call("system.neuron", ([float("nan")], [disc("red", 12, 32).retitled("a pig on snow")])),
        call("system.neuron", "damaged"),
    ]
    title, table = report_sections(Recorded({"task": task}, calls))
    assert "class and environment" in title
    assert [list(row) for row in table.cells] == [[3.0, None], [None, 7.0]]
    assert [list(row) for row in table.counts] == [[1, 0], [0, 1]]
    assert report_sections(Recorded({"task": {"name": "neuron-description"}}, calls)) is None
    assert report_sections(Recorded({"task": task}, [])) is None
