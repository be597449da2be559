"""Latency of encoding one row with ONNX Runtime in one thread: the encoder 784-256-128-64-32 with tanh, or any other.

Prints one JSON object like that of `cargo xtask bench infer --threads 1 --json`, whose p50 it is to be compared with.
"""

import argparse
import json
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper


def encoder(dims):
    """The model: x W + b and tanh for every layer."""
    random = numpy.random.default_rng(0)
    nodes, tensors, value = [], [], "x"
    for index, (inputs, outputs) in enumerate(zip(dims, dims[1:])):
        bound = (6.0 / (inputs + outputs)) ** 0.5
        weights = random.uniform(-bound, bound, (inputs, outputs)).astype(numpy.float32)
        tensors.append(onnx.numpy_helper.from_array(weights, f"w{index}"))
        tensors.append(onnx.numpy_helper.from_array(numpy.zeros(outputs, numpy.float32), f"b{index}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"z{index}"]))
        nodes.append(helper.make_node("Tanh", [f"z{index}"], [f"y{index}"]))
        value = f"y{index}"
    shape = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
    graph = helper.make_graph(nodes, "encoder", [shape("x", dims[0])], [shape(value, dims[-1])], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", default="784,256,128,64,32")
    parser.add_argument("--rows", type=int, default=20000)
    arguments = parser.parse_args()
    dims = [int(width) for width in arguments.dims.split(",")]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(encoder(dims), options, providers=["CPUExecutionProvider"])
    row = numpy.random.default_rng(1).random((1, dims[0]), dtype=numpy.float32)
    times = []
    for _ in range(arguments.rows):
        start = time.perf_counter()
        session.run(None, {"x": row})
        times.append(time.perf_counter() - start)
    times = sorted(times[len(times) // 10 :])
    at = lambda share: round(times[int(len(times) * share)] * 1e6, 2)
    print(json.dumps({"system": "onnxruntime", "dims": dims, "encode_p50_us": at(0.5), "encode_p99_us": at(0.99)}))


if __name__ == "__main__":
    main()
