"""A plain loop over clients, without any framework: bare_torch.py WORK THREADS."""

import sys

import torch
from torch import nn
from turns import Turns
from works import CLIP, LEARNING_RATE, NOISE, WORKS, images


def main() -> None:
    """Rounds of client-level DP-FedAvg."""
    work = WORKS[sys.argv[1]]
    torch.set_num_threads(int(sys.argv[2]))
    pixels, labels = images(work)
    model = work.model()
    weights = list(model.parameters())
    turns = Turns()
    while True:
        start = [weight.detach().clone() for weight in weights]
        total = [torch.zeros_like(weight) for weight in weights]
        for client in torch.randperm(work.clients)[: work.cohort].tolist():
            with torch.no_grad():
                for weight, first in zip(weights, start, strict=True):
                    weight.copy_(first)
            optimizer = torch.optim.SGD(weights, lr=LEARNING_RATE)
            for rows in torch.randperm(work.each).split(work.batch):
                optimizer.zero_grad(set_to_none=True)
                outputs = model(pixels[client][rows])
                nn.functional.cross_entropy(outputs, labels[client][rows]).backward()
                optimizer.step()
            with torch.no_grad():
                update = [w - first for w, first in zip(weights, start, strict=True)]
                norm = torch.stack([part.norm() for part in update]).norm()
                scale = float((CLIP / norm).clamp(max=1.0))
                for part, own in zip(total, update, strict=True):
                    part.add_(own, alpha=scale)
        with torch.no_grad():
            for weight, first, part in zip(weights, start, total, strict=True):
                weight.copy_(first + (part + NOISE * CLIP * torch.randn_like(part)) / work.cohort)
        turns.next(work.cohort)


if __name__ == "__main__":
    main()
