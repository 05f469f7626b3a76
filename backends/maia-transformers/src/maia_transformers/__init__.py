"""Local Hugging Face models as backbone and describer. Importing this package does not import torch.

A name becomes a folder (`hub`), a folder is checked (`folder`) and loaded once for all who use it (`weights`); the
model's chat template makes one prompt of a conversation (`template`), in which no text can pass for a control token
(`neutral`); `chat` puts prompts and pictures into the model and takes replies out of it.
"""
