"""What the backbone reads of a program's result."""

import pytest

from maia_core.feedback import execution_parts
from maia_core.types import Execution, TextPart


@pytest.mark.parametrize(
    ("printed", "read"),
    [
        ("[3.1415926535897931, 0.000123456789]", "[3.142, 0.0001235]"),
        ("-12345.678901 and 1.2345678e-07", "-12346 and 1.235e-07"),
        ("2.5 123.4567 version 1.2.345678 x1.234567", "2.5 123.4567 version 1.2.345678 x1.234567"),
    ],
)
def test_activations_are_read_with_four_significant_digits(printed, read):
    execution = Execution(stdout=printed, value=printed, error=printed, displays=(TextPart(text=printed),))
    assert [part.text.removeprefix("Printed:\n").removeprefix("Returned:\n").removeprefix("Failed:\n")
            for part in execution_parts(execution)] == [read] * 4  # fmt: skip
    assert execution.stdout == printed, "the record keeps every digit"
