"""What every system trains: shared so that the work is the same."""

import dataclasses
import os

LEARNING_RATE = 1e-4
"""Of the objective `½ Σ_features (x̂ - x)²`, averaged over the rows."""
MOMENTUM = 0.9
BETAS = (0.9, 0.999)
EPSILON = 1e-8
WEIGHT_DECAY = 0.01


class Unsupported(Exception):
    """The system cannot do this work."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A network with its optimiser."""

    layer_dims: list
    optimizer: str
    precision: str
    threads: int

    @property
    def layers(self):
        return list(zip(self.layer_dims, self.layer_dims[1:]))

    @property
    def rate_of_mean(self):
        """The learning rate of the mean squared error over rows and features that has the same steps."""
        return LEARNING_RATE * self.layer_dims[-1] / 2

    def require(self, precisions, optimizers):
        if self.precision not in precisions or self.optimizer not in optimizers:
            raise Unsupported(f"no {self.precision} with {self.optimizer}")


def glorot(job, seed=0):
    """Weights `[in, out]`, uniform after Glorot & Bengio (2010), for every layer."""
    import numpy

    random = numpy.random.default_rng(seed)
    bound = lambda inputs, outputs: (6.0 / (inputs + outputs)) ** 0.5
    return [random.uniform(-bound(i, o), bound(i, o), (i, o)).astype(numpy.float32) for i, o in job.layers]


def limit_threads(count):
    """Limits the threads of every BLAS and of XLA. Works only before the first import of NumPy, PyTorch and JAX."""
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS"):
        os.environ[f"{library}_NUM_THREADS"] = str(count)
    os.environ["VECLIB_MAXIMUM_THREADS"] = str(count)


def limit_processors(count):
    """Keeps the process on `count` processors, for systems whose thread pools know no other limit."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
