"""An offline describer: it looks at pixels and masks and names what they are nearest to."""
