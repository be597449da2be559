"""Training steps of a convolutional autoencoder in PyTorch, for comparison with `cargo xtask bench train --conv`.

The network is a grey image, convolutions with a kernel of 3 and a stride of 2, a dense encoding, and the mirror with
transposed convolutions; ReLU, mean squared error, Adam. Rows are in memory, a different batch each step; the best of many
windows counts. Prints one JSON object.
"""

import argparse
import json
import os
import sys
import time

from systems import job as shared

BATCHES = 8
"""Batches of a window."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=28, help="pixels of an image's side")
    parser.add_argument("--channels", default="16,32", help="channels of the convolutions")
    parser.add_argument("--encoding-dim", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32, help="rows of a step")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--channels-last", action="store_true", help="the memory format of images")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to measure")
    return parser.parse_args()


def network(torch, size, channels, encoding_dim):
    nn = torch.nn
    sizes = [size]
    down, up = [], []
    channels = [1, *channels]
    for before, after in zip(channels, channels[1:]):
        down += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        sizes.append((sizes[-1] - 1) // 2 + 1)
        # What the stride leaves open of the size.
        more = sizes[-2] - ((sizes[-1] - 1) * 2 + 1)
        up = [nn.ConvTranspose2d(after, before, 3, stride=2, padding=1, output_padding=more), nn.ReLU(), *up]
    features = channels[-1] * sizes[-1] ** 2
    dense = [nn.Flatten(), nn.Linear(features, encoding_dim), nn.ReLU(), nn.Linear(encoding_dim, features), nn.ReLU()]
    unflatten = nn.Unflatten(1, (channels[-1], sizes[-1], sizes[-1]))
    return nn.Sequential(*down, *dense, unflatten, *up[:-1])


def main():
    arguments = parse_arguments()
    shared.limit_threads(arguments.threads)
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    channels = [int(count) for count in arguments.channels.split(",")]
    model = network(torch, arguments.size, channels, arguments.encoding_dim)
    layout = torch.channels_last if arguments.channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=shared.LEARNING_RATE, fused=True)
    shape = (arguments.batch, 1, arguments.size, arguments.size)
    batches = [torch.rand(shape).contiguous(memory_format=layout) for _ in range(BATCHES)]

    def window():
        start = time.perf_counter()
        for rows in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.mse_loss(model(rows), rows)
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - start) / BATCHES, loss.item()

    _, first = window()
    best, last = window()
    end = time.perf_counter() + arguments.seconds
    while time.perf_counter() < end:
        elapsed, last = window()
        best = min(best, elapsed)
    # What is timed must be training.
    if not last < first:
        sys.exit(f"the loss went from {first} to {last}")
    result = {
        "system": "torch",
        "size": arguments.size,
        "channels": channels,
        "encoding_dim": arguments.encoding_dim,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "samples_per_s": round(arguments.batch / best, 1),
        "us_per_step": round(best * 1e6, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
