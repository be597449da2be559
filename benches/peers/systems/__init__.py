"""The systems that can be timed, by name. A module here is imported only when its system is asked for."""

import importlib

NAMES = {
    "numpy": ("systems.with_numpy", "NumpySteps"),
    "sklearn": ("systems.with_sklearn", "SklearnSteps"),
    "torch": ("systems.with_torch", "TorchSteps"),
    "torch-compile": ("systems.with_torch", "CompiledTorchSteps"),
    "jax": ("systems.with_jax", "JaxSteps"),
    "jax-scan": ("systems.with_jax", "JaxScan"),
}


def load(name):
    """The class of this system; ImportError where its packages are missing."""
    module, attribute = NAMES[name]
    return getattr(importlib.import_module(module), attribute)
