"""Networks of other tools become float networks, with their exact meaning or not at all."""

import re
from pathlib import Path

from quant.errors import NetworkError, UnsupportedError
from quant.model import FloatNetwork

from .alive import check_alive
from .options import ImportOptions

__all__ = ["ImportOptions", "is_python", "load"]


def is_python(argument: str) -> bool:
    """Whether ``argument`` is written as ``package.module:factory``."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:\w+", argument, re.ASCII) is not None


def load(argument: str, options: ImportOptions | None = None, *, weights: Path | None = None) -> FloatNetwork:
    """The float network of a ``.nir`` file, or of the torch module that ``package.module:factory`` makes.

    Parameters
    ----------
    argument : str
    options : ImportOptions, optional
        What the model does not say.
    weights : Path, optional
        State dict of a torch module.

    Raises
    ------
    SpikeloomError
        In one sentence: what cannot be read, or kept, and the way out.
    """
    if is_python(argument):
        try:
            from .torch_files import module_of
            from .torch_module import import_module
        except ModuleNotFoundError as error:
            raise UnsupportedError(f"Modules of torch need {error.name}: pip install 'spikeloom[torch]'") from None
        model = import_module(module_of(argument, weights), options)
    else:
        from .nir import load_nir

        if weights is not None:
            raise NetworkError(f"Option --weights must be given with package.module:factory, not with {argument}")
        model = load_nir(Path(argument), options)
    check_alive(model)
    return model
