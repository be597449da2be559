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

import systems
from systems.job import Job, Unsupported, limit_processors, limit_threads

BATCHES = 8
"""Batches of a window."""
WARM_UPS = 3
"""Windows before the clock starts."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", required=True, choices=systems.NAMES)
    parser.add_argument("--dims", required=True, type=widths, help="encoder widths, input to encoding")
    parser.add_argument("--batch", required=True, type=int, help="rows of a step")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    optimizers = ["sgd", "momentum", "nesterov", "adam", "adamw"]
    parser.add_argument("--optimizer", default="sgd", choices=optimizers)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to measure")
    return parser.parse_args()


def widths(text):
    return [int(width) for width in text.split(",")]


def best_window(model, seconds):
    """Shortest time of a step, averaged over a window, and the errors of the first and the last window."""

    def window():
        start = time.perf_counter()
        error = model.window()
        return (time.perf_counter() - start) / BATCHES, error

    _, first = window()
    for _ in range(WARM_UPS - 1):
        window()
    best, last = window()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        elapsed, last = window()
        best = min(best, elapsed)
    return best, first, last


def operations_per_sample(job):
    """Two for each weight: forward, its gradient, and the gradient of its input except in the first layer."""
    sizes = [inputs * outputs for inputs, outputs in job.layers]
    return 6 * sum(sizes) - 2 * sizes[0]


def main():
    arguments = parse_arguments()
    limit_threads(arguments.threads)
    if arguments.system.startswith("jax"):
        limit_processors(arguments.threads)
    layer_dims = arguments.dims + arguments.dims[-2::-1]
    job = Job(layer_dims, arguments.optimizer, arguments.precision, arguments.threads)
    try:
        import numpy

        random = numpy.random.default_rng(1)
        batches = list(random.random((BATCHES, arguments.batch, layer_dims[0]), dtype=numpy.float32))
        model = systems.load(arguments.system)(job, batches)
    except (ImportError, Unsupported) as error:
        sys.exit(f"{arguments.system}: {error}")
    best, first, last = best_window(model, arguments.seconds)
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
        "gflops": round(operations_per_sample(job) * arguments.batch / best / 1e9, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
