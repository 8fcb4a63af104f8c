"""PyTorch on the CPU as a contender: the same steps as a good PyTorch user writes them.

Usage: pytorch.py PROBLEM THREADS; the problem's format is in ../problem.ts, the protocol in ../serve.ts.

For natural gradient, module hooks keep each layer's inputs and pre-activation gradients at a refresh. TENGraD: the Gram matrix comes from
two matrix products, of convolutions from the per-sample gradients, its Cholesky factor is kept until the next refresh, and the direction is
(g - S^T (K + damping I)^-1 S g / N) / damping. K-FAC: the two factors of the refresh batch, damped in the proportion pi of their mean traces, are
inverted and kept; rows of a convolution are its patches.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

COMPARED_STEPS = 5


def read_problem(path):
    """The description, the batch and the network with its initial weights."""
    with open(path) as file:
        problem = json.load(file)
    with open(problem["numbers"], "rb") as file:
        numbers = torch.frombuffer(bytearray(file.read()), dtype=torch.float32)
    widths, samples, convolutions = problem["widths"], problem["samples"], problem.get("convolutions")
    shape = convolutions["image"] if convolutions else widths[:1]
    position = 0

    def take(*shape):
        nonlocal position
        start, position = position, position + torch.Size(shape).numel()
        return numbers[start:position].reshape(shape).clone()

    inputs = take(samples, *shape)
    targets = take(samples).long() if problem["task"] == "classification" else take(samples, widths[-1])
    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[problem["activation"]]

    def load(layer):
        with torch.no_grad():
            layer.weight.copy_(take(*layer.weight.shape))
            layer.bias.copy_(take(*layer.bias.shape))
        return layer

    modules = []
    if convolutions:
        channels = [shape[0], *convolutions["filters"]]
        for count, filters in zip(channels, channels[1:]):
            modules += [load(nn.Conv2d(count, filters, 3, padding=1)), activation()]
        modules += [nn.MaxPool2d(convolutions["pool"]), nn.Flatten()]
    for width, units in zip(widths, widths[1:]):
        modules += [load(nn.Linear(width, units)), activation()]
    return problem, inputs, targets, nn.Sequential(*modules[:-1])


class NaturalGradient:
    """Replaces the gradients of a network's dense and convolution layers by natural-gradient directions."""

    def __init__(self, network, problem):
        self.layers = [module for module in network if isinstance(module, (nn.Linear, nn.Conv2d))]
        self.samples, self.damping = problem["samples"], problem["damping"]
        self.refresh_every = problem["period"]
        self.refreshing = False
        self.inputs, self.deltas, self.kept = {}, {}, {}
        self.count = 0
        for layer in self.layers:
            layer.register_forward_hook(self.keep)

    def keep(self, layer, inputs, outputs):
        """Keeps inputs and, after the backward pass, per-sample gradients of the outputs: rows() makes matrices of them."""
        if not self.refreshing:
            return

        def keep_deltas(gradient):
            self.deltas[layer] = gradient.detach() * self.samples

        self.inputs[layer] = inputs[0].detach()
        outputs.register_hook(keep_deltas)

    def before_forward(self):
        self.refreshing = self.count % self.refresh_every == 0
        self.count += 1

    def after_backward(self):
        for layer in self.layers:
            if self.refreshing:
                self.kept[layer] = self.refresh(*rows(layer, self.inputs[layer], self.deltas[layer]))
            gradient = torch.cat([layer.weight.grad.flatten(1), layer.bias.grad[:, None]], 1)
            direction = self.direction(gradient, *self.kept[layer])
            layer.weight.grad.copy_(direction[:, :-1].reshape_as(layer.weight))
            layer.bias.grad.copy_(direction[:, -1])


def rows(layer, inputs, deltas):
    """Inputs with a column of ones, (N, F + 1), and deltas (N, O); of a convolution (N, T, F + 1) and (N, T, O), T its positions."""
    if isinstance(layer, nn.Conv2d):
        inputs = F.unfold(inputs, layer.kernel_size, padding=layer.padding).transpose(1, 2)
        deltas = deltas.flatten(2).transpose(1, 2)
    return torch.cat([inputs, inputs.new_ones(*inputs.shape[:-1], 1)], -1), deltas


class Tengrad(NaturalGradient):
    def refresh(self, inputs, deltas):
        if inputs.dim() == 3:
            scores = torch.bmm(deltas.transpose(1, 2), inputs).flatten(1)
            return damped_cholesky(scores @ scores.T / self.samples, self.damping), scores
        gram = (deltas @ deltas.T) * (inputs @ inputs.T) / self.samples
        return damped_cholesky(gram, self.damping), deltas, inputs

    def direction(self, gradient, factor, deltas, inputs=None):
        if inputs is None:
            weights = torch.cholesky_solve((deltas @ gradient.flatten())[:, None], factor)[:, 0]
            return (gradient - (deltas.T @ weights).reshape_as(gradient) / self.samples) / self.damping
        projection = ((deltas @ gradient) * inputs).sum(1)
        weights = torch.cholesky_solve(projection[:, None], factor)
        correction = (deltas * weights).T @ inputs
        return (gradient - correction / self.samples) / self.damping


class Kfac(NaturalGradient):
    def refresh(self, inputs, deltas):
        positions = inputs.shape[1] if inputs.dim() == 3 else 1
        inputs, deltas = inputs.flatten(0, -2), deltas.flatten(0, -2)
        of_inputs, of_deltas = inputs.T @ inputs / self.samples, deltas.T @ deltas / (self.samples * positions)
        pi = (of_inputs.diagonal().mean() / of_deltas.diagonal().mean()).sqrt()
        root = self.damping**0.5
        return tuple(
            torch.cholesky_inverse(damped_cholesky(factor, damping))
            for factor, damping in ((of_inputs, pi * root), (of_deltas, root / pi))
        )

    def direction(self, gradient, inverse_of_inputs, inverse_of_deltas):
        return inverse_of_deltas @ gradient @ inverse_of_inputs


def damped_cholesky(matrix, damping):
    return torch.linalg.cholesky(matrix + damping * torch.eye(len(matrix)))


def create_step(path):
    """A function that takes one step and returns its loss, the steps between refreshes as they are run and as they are weighed."""
    problem, inputs, targets, network = read_problem(path)
    rate, momentum = problem["learningRate"], problem["momentum"]
    if problem["optimizer"] == "adam":
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    structure = {"tengrad": Tengrad, "kfac": Kfac}.get(problem["optimizer"])
    natural = structure and structure(network, problem)

    def loss_of(outputs):
        if problem["task"] == "classification":
            return F.cross_entropy(outputs, targets)
        return 0.5 * ((outputs - targets) ** 2).sum(1).mean()

    def step():
        if natural:
            natural.before_forward()
        optimizer.zero_grad()
        loss = loss_of(network(inputs))
        loss.backward()
        if natural:
            with torch.no_grad():
                natural.after_backward()
        optimizer.step()
        return loss.item()

    return step, problem["period"], problem["refreshEvery"]


def run(step, period, refresh_every, limit):
    """Whole periods of steps, for at least `limit` seconds; weighed where there are more steps between refreshes than are run."""
    periods, refresh, start = 0, 0, time.perf_counter()
    while True:
        before = time.perf_counter()
        step()
        refresh += time.perf_counter() - before
        for _ in range(period - 1):
            step()
        periods += 1
        seconds = time.perf_counter() - start
        if seconds >= limit:
            break
    peak = {"peakBytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    if period == refresh_every:
        return {"steps": period * periods, "seconds": seconds, **peak}
    means = {"refresh": refresh / periods, "stale": (seconds - refresh) / (periods * (period - 1))}
    total = means["refresh"] + (refresh_every - 1) * means["stale"]
    return {"steps": refresh_every, "seconds": total, "weighed": means, **peak}


def main(path, threads):
    torch.set_num_threads(int(threads))
    step, period, refresh_every = create_step(path)
    losses = []
    while len(losses) < COMPARED_STEPS or len(losses) % period != 0:
        losses.append(step())
    send({"description": f"PyTorch {torch.__version__}, threads {threads}", "losses": losses[:COMPARED_STEPS]})
    for line in sys.stdin:
        send(run(step, period, refresh_every, float(line)))


def send(message):
    print(json.dumps(message), flush=True)


main(*sys.argv[1:])
