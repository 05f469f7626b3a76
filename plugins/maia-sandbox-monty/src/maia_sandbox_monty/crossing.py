"""Proxies of `system`, `tools` and images between host and program, by ids that cannot be forged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from maia_sandbox.texts import MAX_NAME, near

if TYPE_CHECKING:
    from pydantic_monty import ClassInstance, ClassType

UNSEEN = (
    "Pixels, PIL and numpy are only in the sandbox `process`; here let tools look at the image, and use its title, "
    "width and height"
)
PIXELS = frozenset(["to_pil", "__array__", "convert", "resize", "crop", "save", "getpixel", "numpy", "pixels", "mask"])
ATTRIBUTES = "Available: clean, height, id, shows, size, title, width"


class Image:
    """An image as a program holds it; `handle` is the bridge's."""

    def __init__(self, handle: int, id: str, title: str, shows: str, width: int, height: int) -> None:
        self.handle = handle
        self.id = id
        self.title = title
        self.shows = shows
        self.width = width
        self.height = height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


class Proxy:
    """`system` or `tools`; a subclass of each name, which the program's errors print."""


System = type("system", (Proxy,), {})
Tools = type("tools", (Proxy,), {})


class Crossing:
    """The proxies of one session of the interpreter."""

    def __init__(self) -> None:
        import pydantic_monty

        self._monty = pydantic_monty
        self._objects: dict[UUID, Any] = {}
        self._images: dict[int, ClassInstance] = {}
        self._image_type = pydantic_monty.ClassType(Image)

    @property
    def image_type(self) -> ClassType:
        """The type of images, for `isinstance`."""
        return self._image_type

    def proxy(self, kind: type) -> ClassInstance:
        """Makes `system` or `tools`; another one for each program, so that no change to it lasts."""
        return self._wrapped(kind())

    def find(self, id: UUID) -> Any:
        """Returns the object that the program got under an id; None for a type or an unknown id."""
        return self._objects.get(id)

    def _wrapped(self, value: Any, **options: Any) -> ClassInstance:
        wrapper = self._monty.ClassInstance(value, id=uuid4(), **options)
        self._objects[wrapper.id] = value
        return wrapper

    def receive(self, tag: str, content: Sequence[Any]) -> ClassInstance:
        """Makes the image that a reply names; to be called by a `values.Decoder`."""
        handle = content[0]
        if handle not in self._images:
            self._images[handle] = self._wrapped(
                Image(*content),
                eager_attrs=("title", "shows", "width", "height", "handle"),
                class_type=self._image_type,
            )
        return self._images[handle]

    def unheld(self, heap: bytes, sign: UUID) -> Iterator[int]:
        """Forgets the images that the program no longer holds, and yields their handles.

        Args:
            heap: The interpreter's state. The ids of all objects that it holds are in it.
            sign: Id of an object that it does hold. Where that is not in `heap`, ids are not to be found in it, and
                nothing is forgotten.
        """
        if sign.bytes not in heap:
            return
        for handle, wrapper in list(self._images.items()):
            if wrapper.id.bytes not in heap:
                del self._images[handle], self._objects[wrapper.id]
                yield handle


def missing_attribute(receiver: Any, name: str, listed: frozenset[str]) -> str:
    """Returns the message about a missing attribute, with the names of those that exist; `listed` are the host's."""
    kind = type(receiver).__name__
    if len(name) > MAX_NAME:
        return f"'{kind}' object has no attribute of {len(name):,} characters"
    text = f"'{kind}' object has no attribute '{name}'."
    if isinstance(receiver, Image):
        return f"{text} {UNSEEN if name in PIXELS else ATTRIBUTES}"
    if not isinstance(receiver, Proxy):
        return f"type object has no attribute '{name}'"
    offered = sorted(method.partition(".")[2] for method in listed if method.startswith(f"{kind}."))
    return f"{text}{near(name, offered)} Available: {', '.join(offered)}"
