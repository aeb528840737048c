"""The network of `lbfgs.py` in PyTorch: its loss over all pictures, and the gradient of that.

    python benchmarks/torch_lbfgs.py WIDTH …

It is a contender (`turns.py`) and needs PyTorch alone; the pictures are random, which its time does
not depend on.
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn
from turns import Turns

EXAMPLES = 60_000


def main(hidden: list[int]) -> None:
    """Evaluate when it is this process's turn."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, width in zip((784, *hidden), hidden, strict=False):
        layers += [nn.Linear(before, width), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Linear(hidden[-1], 10))
    inputs, targets = torch.rand(EXAMPLES, 784), torch.randint(0, 10, (EXAMPLES,))
    weights = list(network.parameters())
    facts = {
        "framework": f"torch {torch.__version__}",
        "parameters": sum(weight.numel() for weight in weights),
    }
    turns = Turns(facts, {})
    while True:
        for _ in range(turns.begin()):
            loss = F.cross_entropy(network(inputs), targets)
            float(loss.detach()), torch.autograd.grad(loss, weights)
        turns.end()


if __name__ == "__main__":
    main([int(width) for width in sys.argv[1:]])
