"""The options of the verifier."""

from __future__ import annotations

from pydantic import Field

from maia_core.plugin import PluginConfig


class Options(PluginConfig):
    """Options of the verifier `held-out`."""

    prompts: int = Field(8, ge=4, le=100)
    """Different pictures for each label, in each round."""
    samples: int = Field(2, gt=0, le=20)
    """Images of each."""
    controls: int = Field(16, ge=4, le=200)
    """Pictures of other things."""
    near: int = Field(8, ge=0, le=200)
    """Pictures of near misses, which the answer must predict as well; 0: none."""
    edits: int = Field(8, ge=0, le=100)
    """Positives that are edited in each round; 0: none."""
    images: int = Field(30, ge=0, le=1000)
    """How many of the unit's highest images the claim must predict; 0: none. As many at random are held against
    them."""
    left_out: int = Field(6, ge=0, le=100)
    """How many of those that it does not predict are looked at in each round: what they show is made, and must not
    activate the unit."""
    rounds: int = Field(3, ge=1, le=10)
    """How often checks that are undecided may take more pictures, the first round included."""
    auc: float = Field(0.8, gt=0.5, le=1)
    """Chance that a positive exceeds a control, at least."""
    together: float = Field(0.75, gt=0.5, le=1)
    """For a claim of two things: chance that both exceed each alone, at least."""
    coverage: float = Field(0.6, gt=0, le=1)
    """Share of the kinds of positives that activate the unit, at least: an over-broad claim falls short."""
    edited: float = Field(0.6, gt=0, le=1)
    """Share of edits that lower the activation, at least."""
    completeness: float = Field(0.6, gt=0, le=1)
    """Share of the unit's highest images that the claim predicts, at least: half of an OR falls short."""
