"""Products of a dense layer by MKL, through PyTorch, for comparison with `cargo xtask bench gemm`.

Reads lines `product m n k` (rows of the batch, outputs, inputs) from standard input and answers each with one JSON object:
the shortest time of a product, in microseconds. The operands are row-major, the result is written where the last one was.
"""

import argparse
import json
import os
import sys
import time

from systems.job import limit_threads


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", default="f32", choices=["f32", "f64"])
    parser.add_argument("--seconds", type=float, default=0.3, help="how long to measure each product")
    return parser.parse_args()


def operands(torch, product, m, n, k, dtype):
    """The two matrices of a product, as views of row-major ones."""
    torch.manual_seed(0)
    x, w, delta = (2 * torch.rand(shape, dtype=dtype) - 1 for shape in [(m, k), (k, n), (m, n)])
    return {"forward": (x, w), "backward_input": (delta, w.t()), "weight_gradient": (x.t(), delta)}[product]


def best_time(torch, product, m, n, k, dtype, seconds):
    a, b = operands(torch, product, m, n, k, dtype)
    result = torch.empty((a.shape[0], b.shape[1]), dtype=dtype)
    torch.mm(a, b, out=result)
    torch.testing.assert_close(result.double(), a.double() @ b.double(), rtol=1e-3, atol=1e-3)
    # Windows of about a millisecond, as on the other side.
    repeats = max(1, min(10_000, int(1e8 / (2 * m * n * k))))

    def window():
        start = time.perf_counter()
        for _ in range(repeats):
            torch.mm(a, b, out=result)
        return (time.perf_counter() - start) / repeats

    window()
    best = window()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = min(best, window())
    return best


def main():
    arguments = parse_arguments()
    limit_threads(arguments.threads)
    try:
        import torch
    except ImportError as error:
        sys.exit(str(error))
    if not torch.backends.mkl.is_available():
        sys.exit("this PyTorch comes without MKL")
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    dtype = {"f32": torch.float32, "f64": torch.float64}[arguments.precision]
    for line in sys.stdin:
        try:
            product, *sizes = line.split()
            m, n, k = (int(size) for size in sizes)
            best = best_time(torch, product, m, n, k, dtype, arguments.seconds)
            answer = {"system": "mkl", "us": round(best * 1e6, 3)}
        except (KeyError, ValueError, RuntimeError, AssertionError) as error:
            answer = {"error": " ".join(str(error).split())}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
