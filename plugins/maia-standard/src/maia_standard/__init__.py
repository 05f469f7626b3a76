"""The tools of the MAIA paper's appendix A and its neuron description task, as plugins."""
