"""Kinds of autoencoders in PyTorch. The objective is a sum over the features, averaged over the rows, as ours."""

import torch
from torch import nn
from torch.nn import functional

SIGMA = 0.3
"""Of the Gaussian noise."""
L1 = 0.01
KL_WEIGHT, KL_TARGET = 0.1, 0.05
CONTRACTION = 0.1
LOG_VARIANCES = (-30.0, 20.0)
LAYER_NORM_EPSILON = 1e-5
SIDE = 28
"""Pixels of an image's side."""
CHANNELS = (16, 32)
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def squared_error(output, rows):
    return 0.5 * functional.mse_loss(output, rows, reduction="sum") / rows.shape[0]


def linear(inputs, outputs):
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def dense(widths, activation, normalised=False):
    """Layers with an activation after each, and on request their values normalised behind it."""
    modules = []
    for inputs, outputs in zip(widths, widths[1:]):
        modules += [linear(inputs, outputs), ACTIVATIONS[activation]()]
        if normalised:
            modules.append(nn.LayerNorm(outputs, eps=LAYER_NORM_EPSILON, elementwise_affine=False))
    return modules


class Plain(nn.Module):
    """Encoder and decoder; the kinds below say what they change."""

    code_activation = None
    normalised = False

    def __init__(self, dims, activation):
        super().__init__()
        *hidden, encoding = dims
        last = [linear(hidden[-1], encoding), ACTIVATIONS[self.code_activation or activation]()]
        self.encoder = nn.Sequential(*dense(hidden, activation, self.normalised), *last)
        up = dims[::-1]
        self.decoder = nn.Sequential(*dense(up[:-1], activation, self.normalised), linear(*up[-2:]))

    def forward(self, rows):
        """The objective and what the rows became."""
        output = self.decoder(self.encoder(rows))
        return squared_error(output, rows), output


class Denoising(Plain):
    def forward(self, rows):
        output = self.decoder(self.encoder(rows + SIGMA * torch.randn_like(rows)))
        return squared_error(output, rows), output


class Sparse(Plain):
    def forward(self, rows):
        code = self.encoder(rows)
        output = self.decoder(code)
        return squared_error(output, rows) + L1 * code.abs().sum() / rows.shape[0], output


class KlSparse(Plain):
    code_activation = "sigmoid"

    def forward(self, rows):
        code = self.encoder(rows)
        output = self.decoder(code)
        mean, target = code.mean(0), KL_TARGET
        # The terms of the target alone have no gradient.
        price = -(target * mean.log() + (1 - target) * (1 - mean).log()).sum()
        return squared_error(output, rows) + KL_WEIGHT * price, output


class LayerNorm(Plain):
    normalised = True


class Tied(nn.Module):
    """The decoder has biases of its own and the encoder's weights."""

    def __init__(self, dims, activation):
        super().__init__()
        self.layers = nn.ModuleList(linear(*pair) for pair in zip(dims, dims[1:]))
        self.biases = nn.ParameterList(torch.zeros(inputs) for inputs in dims[:-1])
        self.activation = ACTIVATIONS[activation]()

    def forward(self, rows):
        values = rows
        for layer in self.layers:
            values = self.activation(layer(values))
        for index in range(len(self.layers) - 1, -1, -1):
            values = functional.linear(values, self.layers[index].weight.t(), self.biases[index])
            if index > 0:
                values = self.activation(values)
        return squared_error(values, rows), values


class Contractive(Plain):
    """For an encoder of one sigmoid layer, whose Jacobian is slopes times weights."""

    code_activation = "sigmoid"

    def forward(self, rows):
        code = self.encoder(rows)
        output = self.decoder(code)
        slopes = code * (1 - code)
        price = (slopes.square() @ self.encoder[0].weight.square().sum(1)).sum() / rows.shape[0]
        return squared_error(output, rows) + CONTRACTION * price, output


class UnitNorm(Plain):
    """A dictionary whose decoder vectors keep norm 1; gradients lose what they have along them."""

    def before_update(self):
        weight = self.decoder[0].weight
        along = (weight.grad * weight).sum(0) / weight.square().sum(0)
        weight.grad.sub_(along * weight)

    def after_update(self):
        weight = self.decoder[0].weight
        weight.div_(weight.norm(dim=0))


class Vae(nn.Module):
    def __init__(self, dims, activation):
        super().__init__()
        *hidden, encoding = dims
        self.encoder = nn.Sequential(*dense(hidden, activation), linear(hidden[-1], 2 * encoding))
        up = dims[::-1]
        self.decoder = nn.Sequential(*dense(up[:-1], activation), linear(*up[-2:]))

    def forward(self, rows):
        mean, log_variance = self.encoder(rows).chunk(2, dim=1)
        log_variance = log_variance.clamp(*LOG_VARIANCES)
        code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        logits = self.decoder(code)
        loss = functional.binary_cross_entropy_with_logits(logits, rows, reduction="sum")
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (loss + divergence) / rows.shape[0], torch.sigmoid(logits)


class TopK(nn.Module):
    """A dictionary: no hidden layers, of each row's ReLU values the k largest."""

    def __init__(self, dims, k, bag):
        super().__init__()
        self.encoder, self.k, self.bag = linear(*dims), k, bag
        inputs, encoding = dims
        # [encoding, inputs]: the lines that a sparse code asks for lie together.
        self.lines = nn.Parameter(nn.init.xavier_uniform_(torch.empty(encoding, inputs)))
        self.bias = nn.Parameter(torch.zeros(inputs))

    def forward(self, rows):
        values, places = torch.topk(torch.relu(self.encoder(rows)), self.k, dim=1, sorted=False)
        if self.bag:
            output = functional.embedding_bag(places, self.lines, per_sample_weights=values, mode="sum") + self.bias
        else:
            code = torch.zeros(rows.shape[0], self.lines.shape[0]).scatter(1, places, values)
            output = torch.addmm(self.bias, code, self.lines)
        return squared_error(output, rows), output


class BatchTopK(TopK):
    """The same with the k largest ReLU values a row of the whole batch."""

    def __init__(self, dims, k):
        super().__init__(dims, k, False)

    def forward(self, rows):
        codes = torch.relu(self.encoder(rows)).flatten()
        values, places = torch.topk(codes, self.k * rows.shape[0], sorted=False)
        code = torch.zeros_like(codes).scatter(0, places, values).view(rows.shape[0], -1)
        output = torch.addmm(self.bias, code, self.lines)
        return squared_error(output, rows), output


class Images(nn.Module):
    """Convolutions with a kernel of 3 and a stride of 2, dense layers, and the mirror with transposed convolutions."""

    def __init__(self, dims, activation):
        super().__init__()
        act = ACTIVATIONS[activation]
        sizes, down, up = [SIDE], [], []
        channels = [1, *CHANNELS]
        for before, after in zip(channels, channels[1:]):
            down += [nn.Conv2d(before, after, 3, stride=2, padding=1), act()]
            sizes.append((sizes[-1] - 1) // 2 + 1)
            # What the stride leaves open of the size.
            more = sizes[-2] - ((sizes[-1] - 1) * 2 + 1)
            up = [nn.ConvTranspose2d(after, before, 3, stride=2, padding=1, output_padding=more), act(), *up]
        features = channels[-1] * sizes[-1] ** 2
        widths = [features, *dims[1:]]
        middle = [nn.Flatten(), *dense(widths, activation), *dense(widths[::-1], activation)]
        unflatten = nn.Unflatten(1, (channels[-1], sizes[-1], sizes[-1]))
        self.network = nn.Sequential(*down, *middle, unflatten, *up[:-1])

    def forward(self, rows):
        output = self.network(rows)
        return squared_error(output, rows), output


KINDS = {
    "plain": Plain,
    "denoising": Denoising,
    "sparse": Sparse,
    "kl-sparse": KlSparse,
    "vae": Vae,
    "layer-norm": LayerNorm,
    "tied": Tied,
    "contractive": Contractive,
    "unit-norm": UnitNorm,
    "conv": Images,
}
"""Those that need no more than widths and an activation; `top-k` is the other one."""
