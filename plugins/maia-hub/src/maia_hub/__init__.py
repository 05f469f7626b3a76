"""One way to weights and devices. Importing this package imports neither torch nor huggingface_hub.

`weights` finds and fetches the files of a model, `fingerprints` hashes these files, and `errors` translates the errors
of the libraries. `device` chooses where a model runs, `batches` halves a batch that does not fit into memory, `shared`
keeps one copy of a model per process, and `quiet` silences the libraries.
"""
