from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maia_core.errors import UsageError
from maia_labels.expression import And, Concept, Expression, Given, Not, Or, concepts, kind, text_of
from maia_labels.parser import parse
from maia_synthetic.response import region, values

A, B, C = Concept("a"), Concept("b"), Concept("c")

NAMES = ["tiger", "red fruit", "salt and pepper", "fire truck", "o'clock", "not", "50% off", "x-ray"]


def expressions(names: list[str], most: int = 6) -> st.SearchStrategy[Expression]:
    """Expressions in the form that the parser makes: no OR directly in an OR, no AND directly in an AND."""

    def join(kind: type[And] | type[Or], parts: list[Expression]) -> Expression:
        return kind(tuple(leaf for p in parts for leaf in (p.parts if isinstance(p, kind) else (p,))))

    return st.recursive(
        st.sampled_from(names).map(Concept),
        lambda inner: st.one_of(
            inner.map(Not),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: join(And, parts)),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: join(Or, parts)),
            st.tuples(inner, inner).map(lambda pair: Given(*pair)),
        ),
        max_leaves=most,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", A),
        ("  Red   FRUIT ", Concept("red fruit")),
        ("red fruit OR fire truck", Or((Concept("red fruit"), Concept("fire truck")))),
        ("a or b Or c", Or((A, B, C))),
        ("(a OR b) OR c", Or((A, B, C))),
        ("a | b", Given(A, B)),
        ("a|b", Given(A, B)),
        ("a given b", Given(A, B)),
        ("a OR b | c", Given(Or((A, B)), C)),
        ("a OR (b | c)", Or((A, Given(B, C)))),
        ("a | b | c", Given(Given(A, B), C)),
        ("a OR b AND c", Or((A, And((B, C))))),
        ("NOT a AND b", And((Not(A), B))),
        ("NOT (a AND b)", Not(And((A, B)))),
        ("a but not b", And((A, Not(B)))),
        ('"salt and pepper" OR a', Or((Concept("salt and pepper"), A))),
        ("“salt and pepper”", Concept("salt and pepper")),
    ],
)
def test_reads_as_documented(text: str, expected: Expression) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "marked", "reason"),
    [
        ("", ">>>", "a concept is missing here"),
        ("dog OR", "dog OR>>>", "a concept is missing here"),
        ("dog OR | leash", "dog OR >>>| leash", "missing before '|'"),
        ("OR dog", ">>>OR dog", "missing before 'OR'"),
        ("dog || cat", "dog |>>>| cat", "missing before '|'"),
        ("(dog OR cat", ">>>(dog OR cat", "no ')' for this"),
        ("dog) OR cat", "dog>>>) OR cat", "no '(' for this"),
        ("dog (cat)", "dog >>>(cat)", "an operator"),
        ('dog "cat"', 'dog >>>"cat"', "an operator"),
        ('dog OR "cat', 'dog OR >>>"cat', "a quote is opened"),
        ('""', '>>>""', "the quotes hold nothing"),
        ("dog & cat", "dog >>>& cat", "write AND"),
        ("dog, cat", ">>>dog, cat", "in quotes"),
        ("dog BUT cat", "dog >>>BUT cat", "BUT must be followed by NOT"),
        ("dog NOT cat", "dog >>>NOT cat", "an operator"),
    ],
)
def test_error_points_at_the_place(text: str, marked: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"malformed expression, at character {marked.index('>>>') + 1}: ")
    assert reason in message
    assert message.endswith(f": {marked}")
    assert "\n" not in message


def test_endless_expressions_are_refused_and_do_not_exhaust_the_stack() -> None:
    with pytest.raises(UsageError, match="at most 500 characters"):
        parse("a OR " * 200 + "a")
    with pytest.raises(UsageError, match="nested more than 20 deep"):
        parse("(" * 200 + "a" + ")" * 200)
    with pytest.raises(UsageError, match="nested more than 20 deep"):
        parse("NOT " * 100 + "a")


@given(expressions(NAMES))
def test_text_reads_back_as_the_same(expression: Expression) -> None:
    text = text_of(expression)
    if len(text) <= 500:
        assert parse(text) == expression


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = parse(text)
    except UsageError:
        return
    assert parse(text_of(read)) == read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "one concept"), ("a OR b", "A OR B"), ("a | b", "A given B"), ("a AND b", "A AND B"),
        ("a but not b", "A but not B"), ("a | NOT b", "A but not B"), ("a OR b OR c", "compound"),
        ("NOT a", "compound"), ("a OR b | c", "compound"),
    ],
)  # fmt: skip
def test_kinds(text: str, expected: str) -> None:
    assert kind(parse(text)) == expected


# --- what expressions mean ---

SCORES = st.lists(st.tuples(*[st.one_of(st.just(0.0), st.floats(0.01, 1.0))] * 3), min_size=1, max_size=8)


def scored(rows: list[tuple[float, ...]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[n] for row in rows]) for n, name in enumerate("abc")}


def value(text: str, **scores: float) -> float:
    return float(values(parse(text), {name: np.array([s]) for name, s in scores.items()})[0])


@pytest.mark.parametrize(
    ("text", "a", "b", "expected"),
    [
        ("a OR b", 0.8, 0.0, 0.8), ("a OR b", 0.0, 0.4, 0.4), ("a OR b", 0.8, 0.4, 0.6), ("a OR b", 0.0, 0.0, 0.0),
        ("a | b", 0.8, 0.4, 0.8), ("a | b", 0.8, 0.0, 0.0), ("a | b", 0.0, 0.4, 0.0),
        ("a AND b", 0.8, 0.4, 0.4), ("a AND b", 0.8, 0.0, 0.0),
        ("a but not b", 0.8, 0.0, 0.8), ("a but not b", 0.8, 0.4, 0.0),
        ("NOT a", 0.8, 0.0, 0.0), ("NOT a", 0.0, 0.0, 1.0),
    ],
)  # fmt: skip
def test_values_are_the_documented_ones(text: str, a: float, b: float, expected: float) -> None:
    assert value(text, a=a, b=b) == pytest.approx(expected)


@given(expressions(["a", "b", "c"]), SCORES)
def test_values_lie_in_zero_to_one_and_no_image_minds_another(
    expression: Expression, rows: list[tuple[float, ...]]
) -> None:
    """Sums above 1 and results that leak into the next image of a batch are faults of the paper's code."""
    together = values(expression, scored(rows))
    assert ((together >= 0) & (together <= 1)).all()
    alone = [values(expression, scored([row]))[0] for row in rows]
    assert together.tolist() == alone


SAME = [
    ("a OR b", "b OR a"), ("a OR a", "a"), ("a AND b", "b AND a"), ("a AND a", "a"),
    ("(a AND b) AND c", "a AND (b AND c)"),
    ("a | a", "a"), ("a | b | c", "a | b AND c"), ("a but not b", "a | NOT b"), ("NOT (a OR b)", "NOT a AND NOT b"),
    ("NOT (a AND b)", "NOT a OR NOT b"), ("a AND NOT a", "b AND NOT b"), ("a OR b | c", "(a | c) OR (b | c)"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
@given(rows=SCORES)
def test_equivalences(one: str, other: str, rows: list[tuple[float, ...]]) -> None:
    scores = scored(rows)
    assert np.allclose(values(parse(one), scores), values(parse(other), scores), atol=1e-12)


def test_unreadable_image_has_no_value() -> None:
    scores = {name: np.array([np.nan, 0.0]) for name in "abc"}
    for text in ("a", "NOT a", "a AND b", "a OR b", "a | b"):
        found = values(parse(text), scores)
        assert np.isnan(found).tolist() == [True, False]


@given(expressions(["a", "b", "c"]), st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3))
def test_place_is_made_of_the_concepts_that_are_there(expression: Expression, row: tuple[float, ...]) -> None:
    scores = dict(zip("abc", row, strict=True))
    masks = {name: np.eye(3, dtype=np.bool_)[n : n + 1] for n, name in enumerate("abc") if scores[name]}
    found = region(expression, scores, masks)
    there = values(expression, {name: np.array([s]) for name, s in scores.items()})[0] > 0
    if found is not None:
        assert there
        assert not found[0, [n for n, name in enumerate("abc") if not scores[name]]].any()
        assert not found[0, [n for n, name in enumerate("abc") if name not in concepts(expression)]].any()
