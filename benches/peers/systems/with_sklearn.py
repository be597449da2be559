"""scikit-learn's MLPRegressor, a mini-batch at a time."""

import warnings

import numpy
from sklearn.neural_network import MLPRegressor

from systems import job as shared


class SklearnSteps:
    def __init__(self, job, batches):
        job.require({"f32"}, {"sgd", "momentum", "nesterov", "adam"})
        warnings.filterwarnings("ignore")
        self.rows = numpy.concatenate(batches)
        descent = job.optimizer != "adam"
        self.model = MLPRegressor(
            hidden_layer_sizes=job.layer_dims[1:-1],
            solver="sgd" if descent else "adam",
            batch_size=len(batches[0]),
            learning_rate_init=shared.LEARNING_RATE,
            momentum=0.0 if job.optimizer == "sgd" else shared.MOMENTUM,
            nesterovs_momentum=job.optimizer == "nesterov",
            alpha=0.0,
            random_state=0,
        )

    def window(self):
        """One update for each batch; the loss of the pass."""
        self.model.partial_fit(self.rows, self.rows)
        return float(self.model.loss_)
