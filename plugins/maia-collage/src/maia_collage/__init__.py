"""The offline laboratory over named cut-outs and backgrounds: pack, data sets, generator, editor, detector."""
