"""Training steps of kinds of autoencoders in PyTorch, for comparison with `cargo xtask bench train --kind`.

The same objective as ours, on rows that are already in memory, a different batch each step; the best of many windows counts.
Prints one JSON object.
"""

import argparse
import json
import os
import sys
import time

from systems import job as shared

BATCHES = 8
"""Batches of a window."""
WARM_UPS = 3
"""Windows before the clock starts."""
PATIENCE = 5.0
"""Seconds that the loss may take to fall, beyond what is timed: few steps need not show it where there are random numbers."""
WAYS = ["torch", "torch-compile", "torch-channels-last", "torch-bag"]
"""Eager; compiled; images with their channels last; a dictionary read as a bag of embeddings."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="torch", choices=WAYS)
    parser.add_argument("--kind", default="plain")
    parser.add_argument("--dims", required=True, help="encoder widths, input to encoding, without convolutions")
    parser.add_argument("--activation", default="relu", choices=["relu", "tanh", "sigmoid"])
    parser.add_argument("--top-k", type=int, default=32, help="values that a top-k encoding keeps")
    parser.add_argument("--batch", type=int, default=128, help="rows of a step")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--optimizer", default="adam", choices=["sgd", "momentum", "nesterov", "adam", "adamw"])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to measure")
    return parser.parse_args()


def model_of(kinds, arguments, dims):
    if arguments.kind == "top-k":
        return kinds.TopK(dims, arguments.top_k, arguments.system == "torch-bag")
    if arguments.kind == "batch-top-k" and arguments.system != "torch-bag":
        return kinds.BatchTopK(dims, arguments.top_k)
    if arguments.system == "torch-bag":
        sys.exit("bags are for top-k")
    if arguments.kind not in kinds.KINDS:
        sys.exit(f"no {arguments.kind} here")
    return kinds.KINDS[arguments.kind](dims, arguments.activation)


def main():
    arguments = parse_arguments()
    shared.limit_threads(arguments.threads)
    try:
        import torch

        from systems import kinds
        from systems.with_torch import optimizer_of
    except ImportError as error:
        sys.exit(str(error))
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    dims = [int(width) for width in arguments.dims.split(",")]
    images = arguments.kind == "conv"
    if arguments.system == "torch-channels-last" and not images:
        sys.exit("channels are those of images")
    layout = torch.channels_last if arguments.system == "torch-channels-last" else torch.contiguous_format
    model = model_of(kinds, arguments, dims).to(memory_format=layout)
    job = shared.Job(dims + dims[-2::-1], arguments.optimizer, "f32", arguments.threads)
    # The objective is summed over the features already.
    optimizer = optimizer_of(job, model.parameters(), shared.LEARNING_RATE)
    shape = (arguments.batch, 1, kinds.SIDE, kinds.SIDE) if images else (arguments.batch, dims[0])
    batches = [torch.rand(shape).contiguous(memory_format=layout) for _ in range(BATCHES)]
    step = torch.compile(model) if arguments.system == "torch-compile" else model
    constrained = hasattr(model, "after_update")
    if constrained:
        with torch.no_grad():
            model.after_update()

    def window():
        start = time.perf_counter()
        for rows in batches:
            optimizer.zero_grad(set_to_none=True)
            objective, output = step(rows)
            objective.backward()
            if constrained:
                with torch.no_grad():
                    model.before_update()
                    optimizer.step()
                    model.after_update()
            else:
                optimizer.step()
        elapsed = (time.perf_counter() - start) / BATCHES
        return elapsed, torch.nn.functional.mse_loss(output, rows).item()

    _, first = window()
    for _ in range(WARM_UPS - 1):
        window()
    best, last = window()
    end = time.perf_counter() + arguments.seconds
    while time.perf_counter() < end:
        elapsed, last = window()
        best = min(best, elapsed)
    end = time.perf_counter() + PATIENCE
    while not last < first and time.perf_counter() < end:
        _, last = window()
    # What is timed must be training.
    if not last < first:
        sys.exit(f"the loss went from {first} to {last}")
    result = {
        "system": arguments.system,
        "kind": arguments.kind,
        "dims": dims,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "optimizer": arguments.optimizer,
        "samples_per_s": round(arguments.batch / best, 1),
        "us_per_step": round(best * 1e6, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
