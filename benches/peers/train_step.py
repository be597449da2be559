"""Training steps of a symmetric ReLU autoencoder in another system, for comparison.

The work is that of `cargo xtask bench train`: forward pass, mean squared error, backward pass and update of every
parameter, on rows that are already in memory, a different batch each step. The best of many windows counts.
Prints one JSON object. `README.md` beside this file says how it is run.
"""

import argparse
import json
import os
import sys
import time

BATCHES = 8
"""Batches of a window."""
WARM_UPS = 3
"""Windows before the clock starts."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", required=True, choices=sorted(SYSTEMS))
    parser.add_argument("--dims", required=True, type=widths, help="encoder widths, input to encoding")
    parser.add_argument("--batch", required=True, type=int, help="rows of a step")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", default="f32", choices=["f32"])
    parser.add_argument("--optimizer", default="sgd", choices=["sgd"])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to measure")
    return parser.parse_args()


def widths(text):
    return [int(width) for width in text.split(",")]


def pin_threads(count):
    """Limits the threads of every BLAS that NumPy may have been built with. Works only before its import."""
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS"):
        os.environ[f"{library}_NUM_THREADS"] = str(count)
    os.environ["VECLIB_MAXIMUM_THREADS"] = str(count)


class NumpyAutoencoder:
    """The textbook loop on BLAS: what a careful person writes by hand."""

    LEARNING_RATE = 1e-4

    def __init__(self, layer_dims, seed):
        import numpy

        self.numpy = numpy
        random = numpy.random.default_rng(seed)
        self.layers = []
        for inputs, outputs in zip(layer_dims, layer_dims[1:]):
            limit = (6.0 / (inputs + outputs)) ** 0.5
            weights = random.uniform(-limit, limit, (inputs, outputs)).astype(numpy.float32)
            self.layers.append((weights, numpy.zeros(outputs, numpy.float32)))

    @staticmethod
    def rows(count, width, seed):
        import numpy

        return numpy.random.default_rng(seed).random((count, width), dtype=numpy.float32)

    def step(self, rows):
        """One update; returns the mean squared error before it."""
        numpy, last = self.numpy, len(self.layers) - 1
        outputs = [rows]
        for index, (weights, bias) in enumerate(self.layers):
            z = outputs[-1] @ weights
            z += bias
            if index < last:
                numpy.maximum(z, 0, out=z)
            outputs.append(z)

        delta = outputs[-1] - rows
        error = float(numpy.vdot(delta, delta)) / delta.size
        rate = numpy.float32(self.LEARNING_RATE / len(rows))
        for index in range(last, -1, -1):
            weights, bias = self.layers[index]
            below = outputs[index]
            weight_gradient, bias_gradient = below.T @ delta, delta.sum(axis=0)
            if index > 0:
                delta = delta @ weights.T
                delta *= below > 0
            weight_gradient *= rate
            weights -= weight_gradient
            bias -= rate * bias_gradient
        return error


SYSTEMS = {"numpy": NumpyAutoencoder}


def best_window(model, batches, seconds):
    """Shortest time of a step, averaged over a window, and the errors of the first and the last window."""

    def window():
        start = time.perf_counter()
        error = [model.step(rows) for rows in batches][-1]
        return (time.perf_counter() - start) / len(batches), error

    _, first = window()
    for _ in range(WARM_UPS - 1):
        window()
    best, last = window()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        elapsed, last = window()
        best = min(best, elapsed)
    return best, first, last


def operations_per_sample(layer_dims):
    """Two for each weight: forward, its gradient, and the gradient of its input except in the first layer."""
    sizes = [inputs * outputs for inputs, outputs in zip(layer_dims, layer_dims[1:])]
    return 6 * sum(sizes) - 2 * sizes[0]


def main():
    arguments = parse_arguments()
    pin_threads(arguments.threads)
    try:
        layer_dims = arguments.dims + arguments.dims[-2::-1]
        system = SYSTEMS[arguments.system]
        model = system(layer_dims, seed=0)
        table = system.rows(BATCHES * arguments.batch, layer_dims[0], seed=1)
    except ImportError as error:
        sys.exit(f"{arguments.system}: {error}")
    batches = [table[i * arguments.batch :][: arguments.batch] for i in range(BATCHES)]
    best, first, last = best_window(model, batches, arguments.seconds)
    # What is timed must be training.
    if not last < first:
        sys.exit(f"{arguments.system}: the loss went from {first} to {last}")
    result = {
        "system": arguments.system,
        "dims": arguments.dims,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "precision": arguments.precision,
        "optimizer": arguments.optimizer,
        "samples_per_s": round(arguments.batch / best, 1),
        "us_per_step": round(best * 1e6, 2),
        "gflops": round(operations_per_sample(layer_dims) * arguments.batch / best / 1e9, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
