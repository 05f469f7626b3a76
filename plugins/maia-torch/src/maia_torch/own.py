"""The model plugin `module`: a user's own network, by the path that Python imports it from."""

from __future__ import annotations

import importlib
import re
import sys
import sysconfig
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from maia_core.plugin import RunContext, UsageError, content_id, decoded, did_you_mean, one_line
from maia_exemplars.preprocess import Fit, Interpolation, Preprocessing
from maia_torch.layouts import Layout
from maia_torch.model import TorchModel
from maia_torch.options import TorchOptions

if TYPE_CHECKING:
    from torch import nn


STANDARD = sysconfig.get_path("stdlib")
"""The folder of Python's own modules."""

NO_MODULE = "there is no Python module '{}': run maia where python -m would find it, or install it"


class OwnModel(TorchModel):
    """A network of your own: `module/package.module.attribute`.

    The attribute is a `torch.nn.Module`, or a class or function that makes one when it is called without arguments.
    This plugin, and no other, runs code that the reference names: it imports the package as `python -m` would, with
    the working directory first on the path.
    """

    class Config(TorchOptions):
        """The network and its preprocessing."""

        model: str = ""
        """Where Python finds it: `package.module.attribute`."""
        weights: str | None = None
        """A file of weights, `.pth` (a state dict) or `.safetensors`; as the module is made if not set."""
        size: int | tuple[int, int] | None = None
        """Input in pixels, a side or [height, width]; the first of the usual ones that it can take if not set."""
        resize: int | tuple[int, int] | None = None
        """Shorter side, or [height, width], before the centre of `size` is taken; `size` if not set."""
        fit: Fit = "crop"
        """How an image of other proportions is fitted: `crop`, `squash` or `letterbox`."""
        interpolation: Interpolation = "bilinear"
        """How pixels are resampled: `nearest`, `bilinear`, `bicubic`, `lanczos`."""
        mean: tuple[float, ...] | None = None
        """Subtracted from values in [0, 1]: three numbers, or one for grey; ImageNet's if not set."""
        std: tuple[float, ...] | None = None
        """What the difference is divided by; ImageNet's if not set."""
        classes: str | None = None
        """A text file with the names of the outputs, one a line."""
        classifier: bool | None = None
        """Whether the outputs are classes; if they have no map, where it is not set."""
        layouts: dict[str, Literal["NC", "NCHW", "NHWC", "NLC", "LNC", "NCL", "none"] | Layout] | None = None
        """Order of axes of outputs where shapes do not tell it, by pattern of names: N images, C units, L tokens; or a
        table: axes, prefix, others, grid."""

    def __init__(self, config: Config, context: RunContext | None) -> None:
        name = f"module/{config.model}"
        module = imported(config.model)
        note = ""
        if config.weights is not None:
            from maia_torch.weights import load_weights

            note = load_weights(module, config.weights)
        preprocess, guessed = preprocessing(module, config)
        super().__init__(
            module,
            preprocess,
            name,
            classes=() if config.classes is None else class_names(config.classes),
            classifier=config.classifier,
            context=context,
            layouts=config.layouts,
            **config.running,
        )
        if note:
            self.warn(f"{name}: {note}")
        if guessed:
            self.warn(f"{name}: {' and '.join(guessed)} not given; the preprocessing is taken to be: {preprocess}")
        self._code = own_code(module, config.model)

    @classmethod
    def check_unit(cls, config: Config, ref: str) -> None:
        """Checks that Python finds the package and the file of weights, before torch loads.

        Raises:
            UsageError: it does not, or the path is not one of a module.
        """
        package = _package_of(config.model)
        is_here = package in sys.modules or PathFinder.find_spec(package, [str(Path.cwd())]) is not None
        # An editable installation has a finder of its own.
        finders = (find for finder in sys.meta_path if (find := getattr(finder, "find_spec", None)))
        if not is_here and not any(find(package, None) for find in finders):
            raise UsageError(NO_MODULE.format(package))
        if config.weights is not None and not Path(config.weights).expanduser().is_file():
            raise UsageError(f"there is no file of weights {config.weights}; give the path of one")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of architecture, weights, preprocessing and of the source files that compute with them."""
        return content_id(self.engine.fingerprint().encode(), *self._code)


def imported(path: str) -> nn.Module:
    """Imports the network that a dotted path names.

    Raises:
        UsageError: there is no such module or attribute, its own code failed, or it makes no `torch.nn.Module`.
    """
    from torch import nn

    from maia_torch.modules import readable

    package, here = _package_of(path), str(Path.cwd())
    # Only for a module of this folder: no other file of it may stand in for a package that an installed one imports.
    if here not in sys.path and PathFinder.find_spec(package, [here]):
        sys.path.insert(0, here)
    value: Any = _module_of(path)
    for name in path.split(".")[value.__name__.count(".") + 1 :]:
        if not hasattr(value, name):
            where = getattr(value, "__name__", type(value).__name__)
            raise UsageError(f"{where} has no '{name}'.{did_you_mean(name, dir(value))}")
        value = getattr(value, name)
    if not isinstance(value, nn.Module) and callable(value):
        try:
            value = value()
        except Exception as error:
            raise UsageError(f"{path}() failed: {one_line(error)}; it is called without arguments") from error
    if not isinstance(value, nn.Module):
        raise UsageError(f"{path} is not a torch.nn.Module and makes none, but a {type(value).__name__}")
    return readable(value, path)


def _package_of(path: str) -> str:
    """Returns the first part of a dotted path."""
    if "" in path.split(".") or "." not in path:
        raise UsageError(f"write module/package.module.attribute, not module/{path}")
    return path.partition(".")[0]


def _module_of(path: str) -> ModuleType:
    """Imports the longest beginning of a dotted path that is a module."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise UsageError(f"importing {name} failed: {one_line(error)}") from error
        except (Exception, SystemExit) as error:
            raise UsageError(f"importing {name} failed: {one_line(error)}") from error
    raise UsageError(NO_MODULE.format(parts[0]))


def preprocessing(module: nn.Module, config: OwnModel.Config) -> tuple[Preprocessing, list[str]]:
    """Returns the preprocessing that the options give, and which of them were guessed."""
    from maia_torch.inference import inferred

    preprocessing = {"size": config.size, "mean": config.mean, "std": config.std}
    guessed = [name for name, value in preprocessing.items() if value is None]
    if config.size is None or config.mean is None or config.std is None:
        guess = inferred(module, config.size)
        preprocessing |= {name: getattr(guess, name) for name in guessed}
    fit = {"resize": config.resize, "fit": config.fit, "interpolation": config.interpolation}
    # The values were validated by the options.
    return Preprocessing(**preprocessing, **fit), guessed  # type: ignore[arg-type]


def class_names(path: str) -> list[str]:
    """Reads names, one per line: UTF-8, or any Unicode encoding with a byte order mark.

    Raises:
        UsageError: the file cannot be read, or is of another form.
    """
    if path.casefold().endswith((".json", ".yaml", ".yml", ".csv", ".tsv")):
        raise UsageError(f"the class names in {path} cannot be read: write a text file with one name per line")
    try:
        data = Path(path).expanduser().read_bytes()
        lines = re.split("\r\n|\r|\n", decoded(data))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the class names in {path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def own_code(module: nn.Module, path: str) -> list[bytes]:
    """Returns the source files that a network is made and computed with, but for those of installed packages.

    Args:
        module: The network: the files of its classes.
        path: The dotted path that made it: its own file, and those of all that they import.
    """
    names = [kind.__module__ for kind in {type(part) for part in module.modules()}]
    names += [".".join(parts[:end]) for parts in [path.split(".")] for end in range(1, len(parts))]
    files: dict[str, Path] = {}
    while names:
        own = sys.modules.get(name := names.pop())
        source = getattr(own, "__file__", None)
        is_own = source and not {"site-packages", "dist-packages"} & set(Path(source).parts)
        if source and is_own and name not in files and not source.startswith(STANDARD) and Path(source).is_file():
            files[name] = Path(source)
            values = list(vars(own).values())
            names += [value.__name__ for value in values if isinstance(value, ModuleType)]
            names += [str(getattr(value, "__module__", "")) for value in values if callable(value)]
    return [file.read_bytes() for _, file in sorted(files.items())]
