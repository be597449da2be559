"""JAX on XLA: one jitted step a batch, or all batches of a window in one jitted scan, which is its best case."""

import jax
import jax.numpy as jnp

from systems import job as shared

EACH = jax.tree.map


def mean_squared_error(parameters, rows, mixed):
    values, last = rows, len(parameters) - 1
    for index, (weights, bias) in enumerate(parameters):
        if mixed:
            narrow = values.astype(jnp.bfloat16), weights.astype(jnp.bfloat16)
            values = jnp.dot(*narrow, preferred_element_type=jnp.float32)
        else:
            values = values @ weights
        values = values + bias
        if index < last:
            values = jax.nn.relu(values)
    return jnp.mean((values - rows) ** 2)


def updated(job, parameters, state, gradients):
    """Parameters and state after one update of the job's optimiser."""
    if job.optimizer == "sgd":
        return EACH(lambda p, g: p - job.rate_of_mean * g, parameters, gradients), state
    if job.optimizer in ("momentum", "nesterov"):
        velocity = EACH(lambda v, g: shared.MOMENTUM * v + g, state, gradients)
        ahead = EACH(lambda v, g: shared.MOMENTUM * v + g, velocity, gradients)
        direction = ahead if job.optimizer == "nesterov" else velocity
        return EACH(lambda p, d: p - job.rate_of_mean * d, parameters, direction), velocity
    first, second = shared.BETAS
    time, m, v = state
    time = time + 1
    m = EACH(lambda m, g: first * m + (1 - first) * g, m, gradients)
    v = EACH(lambda v, g: second * v + (1 - second) * g * g, v, gradients)
    decay = 1 - shared.LEARNING_RATE * shared.WEIGHT_DECAY if job.optimizer == "adamw" else 1.0
    rate, correction = shared.LEARNING_RATE / (1 - first**time), 1 / (1 - second**time)
    new = lambda p, m, v: decay * p - rate * m / (jnp.sqrt(v * correction) + shared.EPSILON)
    return EACH(new, parameters, m, v), (time, m, v)


def first_state(job, parameters):
    zeros = EACH(jnp.zeros_like, parameters)
    if job.optimizer == "sgd":
        return ()
    return zeros if job.optimizer in ("momentum", "nesterov") else (jnp.float32(0), zeros, EACH(jnp.copy, zeros))


class JaxSteps:
    def __init__(self, job, batches):
        job.require({"f32", "bf16"}, {"sgd", "momentum", "nesterov", "adam", "adamw"})
        parameters = [(jnp.array(weights), jnp.zeros(weights.shape[1])) for weights in shared.glorot(job)]
        self.carried = (parameters, first_state(job, parameters))
        mixed = job.precision == "bf16"

        def step(carried, rows):
            parameters, state = carried
            error, gradients = jax.value_and_grad(mean_squared_error)(parameters, rows, mixed)
            return updated(job, parameters, state, gradients), error

        self.prepare(step, batches)

    def prepare(self, step, batches):
        self.batches = [jnp.array(rows) for rows in batches]
        self.step = jax.jit(step, donate_argnums=0)

    def window(self):
        """One update for each batch; the mean squared error before the last."""
        for rows in self.batches:
            self.carried, error = self.step(self.carried, rows)
        jax.block_until_ready(self.carried)
        return float(error)


class JaxScan(JaxSteps):
    def prepare(self, step, batches):
        self.batches = jnp.stack([jnp.array(rows) for rows in batches])
        self.scan = jax.jit(lambda carried, batches: jax.lax.scan(step, carried, batches), donate_argnums=0)

    def window(self):
        """All batches in one call; the mean squared error before the last update."""
        self.carried, errors = self.scan(self.carried, self.batches)
        jax.block_until_ready(self.carried)
        return float(errors[-1])
