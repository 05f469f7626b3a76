"""Any client of the Model Context Protocol is the backbone of a run."""
