"""Torch modules from the user's own Python, and their weights from files."""

import importlib
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quant.errors import FileError, SpikeloomError, UnsupportedError

__all__ = ["load_weights", "module_of"]

_ARGUMENT = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
_NESTED = ("state_dict", "model_state_dict", "model", "net")


def module_of(argument: str, weights: Path | None = None) -> nn.Module:
    """The module that ``package.module:factory`` makes, with its weights.

    Parameters
    ----------
    argument : str
        A module of Python in the current folder, or installed, and the name of a function or class in it that makes a
        torch module without arguments, or of a torch module.
    weights : Path, optional
        State dict; see :func:`load_weights`.

    Raises
    ------
    UnsupportedError
        If it cannot be made.
    FileError
        If the weights are not a state dict, or not that of the module.
    """
    found = _ARGUMENT.fullmatch(argument)
    if found is None:
        raise UnsupportedError(f"Module must be given as package.module:factory, not {argument!r}")
    name, factory = found.groups()
    made = _made(_attribute(name, factory), argument)
    if not isinstance(made, nn.Module):
        raise UnsupportedError(f"{argument} must make a torch module, not {type(made).__name__}")
    if weights is not None:
        load_weights(made, weights)
    return made


def _attribute(name: str, factory: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {error}"
        raise UnsupportedError(
            f"Python module {name} cannot be imported ({told}); start in its folder, or install it"
        ) from error
    if not hasattr(module, factory):
        raise UnsupportedError(f"Python module {name} must have a {factory}, which makes the network; it has none")
    return getattr(module, factory)


def _made(factory: Any, argument: str) -> Any:
    if isinstance(factory, nn.Module) or not callable(factory):
        return factory
    try:
        return factory()
    except SpikeloomError:
        raise
    except (Exception, SystemExit) as error:
        raise UnsupportedError(
            f"{argument} must make a torch module without arguments, but raises {type(error).__name__}: {error}"
        ) from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a state dict that ``torch.save`` has written; no code of the file is run.

    Raises
    ------
    FileError
        If it is no state dict, would need code to be run, or does not fit the module.
    """
    if not path.is_file():
        raise FileError(f"File {path} does not exist")
    way_out = "save the state dict alone, torch.save(model.state_dict(), file)"
    try:
        with warnings.catch_warnings():
            # Of old files, and of those that are refused below.
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise FileError(f"File {path} holds more than numbers, and loading it could run code; {way_out}") from None
    except Exception as error:
        # Whatever a broken file makes of torch's reader.
        raise FileError(f"File {path} cannot be read by torch ({type(error).__name__}); {way_out}") from None
    for key in _NESTED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise FileError(f"File {path} is not a state dict; {way_out}")
    try:
        module.load_state_dict(found)
    except RuntimeError as error:
        lines = "; ".join(line.strip() for line in str(error).splitlines()[1:]) or str(error)
        raise FileError(f"File {path} does not fit {type(module).__name__}: {lines}") from None
