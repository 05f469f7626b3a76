"""Local servers that speak the providers' wire formats over real HTTP, and are as strict as the real ones.

    with AnthropicServer(["first answer", Failure("overloaded"), "second answer"]) as server:
        ...  # server.url, server.key, server.requests

Requests are validated by the request types of the providers' own SDKs and by their documented limits; what the real
service refuses is refused with its real status and body. Answers and failures come from a script, see `script`.
"""

from servers.anthropic_messages import AnthropicServer
from servers.base import Bystander, ProviderServer, Received
from servers.gemini_content import GeminiServer
from servers.openai_chat import OpenAIServer
from servers.script import Answer, Drawing, Failure, Trouble

__all__ = [
    "Answer",
    "AnthropicServer",
    "Bystander",
    "Drawing",
    "Failure",
    "GeminiServer",
    "OpenAIServer",
    "ProviderServer",
    "Received",
    "Trouble",
]
