"""Data sets of real images: ImageNet, Hugging Face `datasets`, WebDataset shards."""
