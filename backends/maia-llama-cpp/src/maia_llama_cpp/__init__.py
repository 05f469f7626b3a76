"""Local GGUF models through llama-cpp-python: LLaVA and its kin see images, text models have them described.

`backbone` and `describer` are the entry points. Under them: `shared` keeps one copy of the weights, `engine` reads and
writes with them, `template` makes prompts, `projector` lets pictures in; `files`, `header` and `trial` keep broken
files from native code.
"""
