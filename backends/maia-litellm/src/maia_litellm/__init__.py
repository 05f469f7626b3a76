"""Vision-language and image models behind an API, through LiteLLM."""
