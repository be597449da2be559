"""The textbook loop on BLAS: what a careful person writes by hand."""

import numpy

from systems import job as shared


class NumpySteps:
    def __init__(self, job, batches):
        job.require({"f32"}, {"sgd", "adam"})
        self.batches = batches
        self.weights = shared.glorot(job)
        self.biases = [numpy.zeros(outputs, numpy.float32) for _, outputs in job.layers]
        self.update = self.sgd
        if job.optimizer == "adam":
            self.update, self.time = self.adam, 0
            parameters = self.weights + self.biases
            self.moments = [(numpy.zeros_like(p), numpy.zeros_like(p)) for p in parameters]

    def window(self):
        """One update for each batch; the mean squared error before the last."""
        return [self.step(rows) for rows in self.batches][-1]

    def step(self, rows):
        last = len(self.weights) - 1
        outputs = [rows]
        for index, (weights, bias) in enumerate(zip(self.weights, self.biases)):
            z = outputs[-1] @ weights
            z += bias
            if index < last:
                numpy.maximum(z, 0, out=z)
            outputs.append(z)
        delta = outputs[-1] - rows
        error = float(numpy.vdot(delta, delta)) / delta.size
        weight_gradients, bias_gradients = [None] * (last + 1), [None] * (last + 1)
        for index in range(last, -1, -1):
            below = outputs[index]
            weight_gradients[index], bias_gradients[index] = below.T @ delta, delta.sum(axis=0)
            if index > 0:
                delta = delta @ self.weights[index].T
                delta *= below > 0
        self.update(weight_gradients + bias_gradients, len(rows))
        return error

    def sgd(self, gradients, rows):
        rate = numpy.float32(shared.LEARNING_RATE / rows)
        for parameter, gradient in zip(self.weights + self.biases, gradients):
            gradient *= rate
            parameter -= gradient

    def adam(self, gradients, rows):
        self.time += 1
        first, second = (numpy.float32(beta) for beta in shared.BETAS)
        rate = numpy.float32(shared.LEARNING_RATE / (1 - shared.BETAS[0] ** self.time))
        correction = numpy.float32(1 / (1 - shared.BETAS[1] ** self.time))
        for parameter, gradient, (m, v) in zip(self.weights + self.biases, gradients, self.moments):
            gradient /= numpy.float32(rows)
            m *= first
            m += (1 - first) * gradient
            v *= second
            gradient *= gradient
            v += (1 - second) * gradient
            parameter -= rate * m / (numpy.sqrt(v * correction) + numpy.float32(shared.EPSILON))
