"""Architectures by name. A network is one file of this room, which registers itself here.

Training, fine-tuning and the memory estimate ask this registry; a model file names its architecture
and the arguments it was built with in its metadata.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import blood_cell_system.networks
from blood_cell_system.errors import SettingsError, UnknownNameError
from blood_cell_system.model_metadata import Architecture

Build = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One architecture.

    Parameters
    ----------
    name : str
    sees_surround : bool
        Whether a classifier sees what lies around a cell; else each lies on white.
    config : type
        Frozen dataclass of its arguments. A field that has the name of a training's setting takes
        its value from there. For a segmenter ``values_per_pixel`` gives how many numbers the
        network holds for a pixel of its input, for the memory estimate.
    build : callable
        Makes an untrained ``keras.Model`` of such a config.
    """

    name: str
    config: type[Any]
    build: Build
    sees_surround: bool = False

    def configured(self, settings: object, /, **arguments: Any) -> Any:
        """Config by a training's settings and further arguments, which go first.

        Raises
        ------
        SettingsError
            The architecture has no such argument.
        """
        names = [field.name for field in fields(self.config)]
        if unknown := sorted(arguments.keys() - set(names)):
            raise SettingsError(
                f"{self.name}: received the arguments {', '.join(unknown)}; expected some of "
                f"{', '.join(names)}."
            )
        chosen = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
        return self.config(**{k: _untyped(v) for k, v in (chosen | arguments).items()})

    def record(self, config: Any) -> Architecture:
        """Describe a config as model metadata hold it, with the lists of JSON for tuples."""
        arguments = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(config).items()
        }
        return Architecture(name=self.name, arguments=arguments)


def _untyped(value: Any) -> Any:
    """Give tuples for the lists of JSON."""
    return tuple(value) if isinstance(value, list) else value


_SEGMENTERS: Final[dict[str, Registered]] = {}
_CLASSIFIERS: Final[dict[str, Registered]] = {}


def register_segmenter(name: str, *, config: type[Any]) -> Callable[[Build], Build]:
    """Register the decorated builder; what it has to build says ``networks/segmenter.py``."""
    return _register(_SEGMENTERS, name, config)


def register_classifier(
    name: str, *, config: type[Any], sees_surround: bool = False
) -> Callable[[Build], Build]:
    """Register the decorated builder; what it has to build says ``networks/cell_classifier.py``."""
    return _register(_CLASSIFIERS, name, config, sees_surround=sees_surround)


def segmenter_named(name: str) -> Registered:
    """Look a segmenter up.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    return _named(_SEGMENTERS, name)


def classifier_named(name: str) -> Registered:
    """Look a classifier up; raises as :func:`segmenter_named`."""
    return _named(_CLASSIFIERS, name)


def of_config(config: Any) -> Registered:
    """Find the architecture of a config."""
    _import_all()
    registered = (*_SEGMENTERS.values(), *_CLASSIFIERS.values())
    return next(entry for entry in registered if entry.config is type(config))


def _register(
    table: dict[str, Registered], name: str, config: type[Any], *, sees_surround: bool = False
) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        table[name] = Registered(name=name, config=config, build=build, sees_surround=sees_surround)
        return build

    return register


def _named(table: Mapping[str, Registered], name: str) -> Registered:
    _import_all()
    if name not in table:
        raise UnknownNameError.of("architecture", name, sorted(table))
    return table[name]


def _import_all() -> None:
    """Import the files of this room, which register what they build."""
    for module in pkgutil.iter_modules(blood_cell_system.networks.__path__):
        importlib.import_module(f"{blood_cell_system.networks.__name__}.{module.name}")
