"""PyTorch, eager and compiled, with its fused optimisers."""

import numpy
import torch

from systems import job as shared


def optimizer_of(job, parameters, rate):
    """The job's optimiser; `rate` is that of plain descent and momentum."""
    if job.optimizer in ("adam", "adamw"):
        settings = {"lr": shared.LEARNING_RATE, "betas": shared.BETAS, "eps": shared.EPSILON, "fused": True}
        if job.optimizer == "adam":
            return torch.optim.Adam(parameters, **settings)
        return torch.optim.AdamW(parameters, weight_decay=shared.WEIGHT_DECAY, **settings)
    momentum = 0.0 if job.optimizer == "sgd" else shared.MOMENTUM
    nesterov = job.optimizer == "nesterov"
    return torch.optim.SGD(parameters, lr=rate, momentum=momentum, nesterov=nesterov, fused=True)


class TorchSteps:
    def __init__(self, job, batches):
        job.require({"f32", "bf16"}, {"sgd", "momentum", "nesterov", "adam", "adamw"})
        torch.set_num_threads(job.threads)
        layers = []
        for weights in shared.glorot(job):
            layer = torch.nn.Linear(*weights.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(numpy.ascontiguousarray(weights.T)))
                layer.bias.zero_()
            layers += [layer, torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers[:-1])
        self.optimizer = optimizer_of(job, self.network.parameters(), job.rate_of_mean)
        self.mixed = job.precision == "bf16"
        self.batches = [torch.from_numpy(rows) for rows in batches]
        self.loss = self.mean_squared_error

    def mean_squared_error(self, rows):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.mixed):
            output = self.network(rows)
        return torch.nn.functional.mse_loss(output.float(), rows)

    def window(self):
        """One update for each batch; the mean squared error before the last."""
        for rows in self.batches:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(rows)
            loss.backward()
            self.optimizer.step()
        return loss.item()


class CompiledTorchSteps(TorchSteps):
    def __init__(self, job, batches):
        super().__init__(job, batches)
        self.loss = torch.compile(self.mean_squared_error)
