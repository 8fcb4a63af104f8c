"""PyTorch on the CPU as a contender: the same steps as a good PyTorch user writes them.

Usage: pytorch.py PROBLEM THREADS; the problem's format is in ../problem.ts, the protocol in ../serve.ts.

For natural gradient, module hooks keep each layer's inputs and pre-activation gradients at a refresh. TENGraD: the Gram matrix comes from
two matrix products, its Cholesky factor is kept until the next refresh, and the direction is (g - S^T (K + damping I)^-1 S g / N) / damping.
K-FAC: the two factors of the refresh batch, damped in the proportion pi of their mean traces, are inverted and kept.
"""

import json
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
    widths, samples = problem["widths"], problem["samples"]
    position = 0

    def take(*shape):
        nonlocal position
        start, position = position, position + torch.Size(shape).numel()
        return numbers[start:position].reshape(shape).clone()

    inputs = take(samples, widths[0])
    targets = take(samples).long() if problem["task"] == "classification" else take(samples, widths[-1])
    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[problem["activation"]]
    modules = []
    for width, units in zip(widths, widths[1:]):
        layer = nn.Linear(width, units)
        with torch.no_grad():
            layer.weight.copy_(take(units, width))
            layer.bias.copy_(take(units))
        modules += [layer, activation()]
    return problem, inputs, targets, nn.Sequential(*modules[:-1])


class NaturalGradient:
    """Replaces the gradients of a network's dense layers by natural-gradient directions."""

    def __init__(self, network, problem):
        self.layers = [module for module in network if isinstance(module, nn.Linear)]
        self.samples, self.damping = problem["samples"], problem["damping"]
        self.refresh_every = problem["refreshEvery"]
        self.refreshing = False
        self.inputs, self.deltas, self.kept = {}, {}, {}
        self.count = 0
        for layer in self.layers:
            layer.register_forward_hook(self.keep)

    def keep(self, layer, inputs, outputs):
        """Keeps inputs (N, F) and, after the backward pass, per-sample gradients of the outputs (N, O)."""
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
                inputs = self.inputs[layer]
                inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
                self.kept[layer] = self.refresh(inputs, self.deltas[layer])
            gradient = torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1)
            direction = self.direction(gradient, *self.kept[layer])
            layer.weight.grad.copy_(direction[:, :-1])
            layer.bias.grad.copy_(direction[:, -1])


class Tengrad(NaturalGradient):
    def refresh(self, inputs, deltas):
        gram = (deltas @ deltas.T) * (inputs @ inputs.T) / self.samples
        return damped_cholesky(gram, self.damping), deltas, inputs

    def direction(self, gradient, factor, deltas, inputs):
        projection = ((deltas @ gradient) * inputs).sum(1)
        weights = torch.cholesky_solve(projection[:, None], factor)
        correction = (deltas * weights).T @ inputs
        return (gradient - correction / self.samples) / self.damping


class Kfac(NaturalGradient):
    def refresh(self, inputs, deltas):
        of_inputs, of_deltas = inputs.T @ inputs / self.samples, deltas.T @ deltas / self.samples
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
    """A function that takes one step and returns its loss, and the number of steps between refreshes."""
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

    return step, problem["refreshEvery"]


def run(step, period, limit):
    """Whole periods of steps, for at least `limit` seconds."""
    steps, start = 0, time.perf_counter()
    while True:
        for _ in range(period):
            step()
        steps += period
        seconds = time.perf_counter() - start
        if seconds >= limit:
            return {"steps": steps, "seconds": seconds}


def main(path, threads):
    torch.set_num_threads(int(threads))
    step, period = create_step(path)
    losses = []
    while len(losses) < COMPARED_STEPS or len(losses) % period != 0:
        losses.append(step())
    send({"description": f"PyTorch {torch.__version__}, threads {threads}", "losses": losses[:COMPARED_STEPS]})
    for line in sys.stdin:
        send(run(step, period, float(line)))


def send(message):
    print(json.dumps(message), flush=True)


main(*sys.argv[1:])
