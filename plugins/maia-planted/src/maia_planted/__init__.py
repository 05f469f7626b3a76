"""Models with a planted bias: the score of a class depends on an attribute of the image, and the truth is known."""
