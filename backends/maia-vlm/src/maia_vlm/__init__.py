"""Parts that all vision-language backends share.

`packing` brings images within the limits of a model, `describing` makes a describer from a chat model, `reading`
replaces images with descriptions for a model without vision, `reasoning` separates a reply from its reasoning, and
`template` holds chat templates in bounds.
"""

from maia_vlm.describing import ChatDescriber
from maia_vlm.packing import ImageLimits, PackedMessage, Picture, pack
from maia_vlm.reading import with_descriptions
from maia_vlm.reasoning import split_reasoning
from maia_vlm.template import bounded, without_system

__all__ = [
    "ChatDescriber",
    "ImageLimits",
    "PackedMessage",
    "Picture",
    "bounded",
    "pack",
    "split_reasoning",
    "with_descriptions",
    "without_system",
]
