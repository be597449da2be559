"""Inference with ONNX Runtime: an autoencoder with tanh, 784-256-128-64-32 or any other, or its encoder alone.

Prints one JSON object like one of `cargo xtask bench infer --json`: throughput of batches, and latency of one row.
"""

import argparse
import json
import os
import sys
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", default="784,256,128,64,32", help="encoder widths, input to encoding")
    parser.add_argument("--way", default="encode", choices=["encode", "reconstruct"])
    parser.add_argument("--batch", type=int, default=1024, help="rows of a call")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", default="f32", choices=["f32", "f64"])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure each of both")
    return parser.parse_args()


def model(widths, encoding, dtype):
    """x W + b for every layer, and tanh after each but a decoder's last."""
    import numpy
    import onnx
    from onnx import helper

    random = numpy.random.default_rng(0)
    kind = helper.np_dtype_to_tensor_dtype(numpy.dtype(dtype))
    nodes, tensors, value = [], [], "x"
    last = len(widths) - 2
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        bound = (6.0 / (inputs + outputs)) ** 0.5
        weights = random.uniform(-bound, bound, (inputs, outputs)).astype(dtype)
        tensors.append(onnx.numpy_helper.from_array(weights, f"w{index}"))
        tensors.append(onnx.numpy_helper.from_array(numpy.zeros(outputs, dtype), f"b{index}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"z{index}"]))
        value = f"z{index}"
        if index < last or encoding:
            nodes.append(helper.make_node("Tanh", [value], [f"y{index}"]))
            value = f"y{index}"
    info = lambda name, width: helper.make_tensor_value_info(name, kind, ["rows", width])
    graph = helper.make_graph(nodes, "network", [info("x", widths[0])], [info(value, widths[-1])], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made.SerializeToString()


def times(session, rows, least, seconds):
    """Seconds of each call, without those that warm up, rising."""
    taken, end = [], time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, {"x": rows})
        taken.append(time.perf_counter() - start)
    return sorted(taken[least // 10 :])


def main():
    arguments = parse_arguments()
    try:
        import numpy
        import onnx
        import onnxruntime
    except ImportError as error:
        sys.exit(str(error))
    dims = [int(width) for width in arguments.dims.split(",")]
    encoding = arguments.way == "encode"
    dtype = {"f32": "float32", "f64": "float64"}[arguments.precision]
    network = model(dims if encoding else dims + dims[-2::-1], encoding, dtype)

    def session(threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

    rows = numpy.random.default_rng(1).random((arguments.batch, dims[0])).astype(dtype)
    best = times(session(arguments.threads), rows, 10, arguments.seconds)[0]
    # One row gains nothing from threads: it is given one.
    singles = times(session(1), rows[:1], 1000, arguments.seconds)
    at = lambda share: round(singles[int(len(singles) * share)] * 1e6, 2)
    result = {
        "system": "onnxruntime",
        "way": arguments.way,
        "dims": dims,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "precision": arguments.precision,
        "samples_per_s": round(arguments.batch / best, 1),
        "p50_us": at(0.5),
        "p99_us": at(0.99),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
