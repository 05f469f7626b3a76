"""What all vision-language backends share, once.

`packing` carries images within a model's limits, `describing` makes a describer of anything that answers, `reading`
puts descriptions in the place of images for a model that sees none.
"""

from maia_vlm.describing import ChatDescriber
from maia_vlm.packing import ImageLimits, PackedMessage, Picture, pack
from maia_vlm.reading import with_descriptions

__all__ = ["ChatDescriber", "ImageLimits", "PackedMessage", "Picture", "pack", "with_descriptions"]
