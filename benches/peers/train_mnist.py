"""The autoencoder 784-256-128-64-[32] trained on images in MNIST's format with PyTorch, to compare the error reached.

The work is that of `ae train TRAIN --hidden 256,128,64 --encoding-dim 32 --validation 0 --early-stopping 0` and then
`ae score MODEL TEST`: min-max scaling by the training images, tanh but for the output, Glorot uniform weights, plain
stochastic gradient descent on half the squared error summed over the pixels and averaged over the batch.
Prints one JSON object. `README.md` beside this file says how it is run.
"""

import argparse
import gzip
import json
import resource
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", help="images to train on, gzipped IDX")
    parser.add_argument("test", help="images to measure the error on, gzipped IDX")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def images(path):
    import numpy

    with gzip.open(path) as file:
        content = file.read()
    count, height, width = (int.from_bytes(content[at : at + 4], "big") for at in (4, 8, 12))
    return numpy.frombuffer(content, numpy.uint8, offset=16).reshape(count, height * width).astype(numpy.float32)


def main():
    arguments = parse_arguments()
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    train, test = torch.from_numpy(images(arguments.train)), torch.from_numpy(images(arguments.test))
    low, high = train.min(0).values, train.max(0).values
    spread = torch.where(high > low, high - low, torch.ones_like(high))
    train, test = (train - low) / spread, (test - low) / spread

    widths = [784, 256, 128, 64, 32, 64, 128, 256, 784]
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layer = torch.nn.Linear(inputs, outputs)
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.learning_rate)

    start = time.perf_counter()
    for _ in range(arguments.epochs):
        for rows in torch.randperm(len(train)).split(arguments.batch_size):
            batch = train[rows]
            loss = 0.5 * (model(batch) - batch).square().sum() / len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        errors = [(model(part) - part).square().mean().item() for part in (train, test)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {"train_mse": errors[0], "test_mse": errors[1], "seconds": round(seconds, 2), "peak_mib": peak // 1024}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
