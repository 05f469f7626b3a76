"""The exemplar index: what all units of a layer do over a data set, measured in one pass and kept on disk.

`layer.py` says which files a layer has and reads one unit of them; it imports numpy alone. `build.py` makes them,
`merge.py` joins what several machines made.
"""
