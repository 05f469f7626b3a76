"""The explanation of a unit that gives all images the same activation."""

from __future__ import annotations

from maia_core.plugin import Dataset, Explanation, System


def never_active(unit: System, dataset: Dataset) -> Explanation:
    """Returns an explanation without a label: there is nothing to explain, and nothing is made up."""
    return Explanation(
        description=f"The unit {unit.info.ref} gives every image of {dataset.name} the same activation.",
        labels=(),
        details={"never_active": True},
    )
