"""The networks of `gan.py` in PyTorch, trained as its users train them.

    python benchmarks/torch_gan.py METHOD PRECISION eager|compile

It is a contender (`turns.py`) and needs PyTorch alone; bfloat16 is by autocast, Adam is the fused
one. A step updates the critic and then the generator, which learns from what the critic has judged,
as in PyTorch's own example of a DCGAN.
"""

import contextlib
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import Turns

BATCH, LATENT, WIDTH, READY = 128, 100, 64, 16
PENALTY = 10.0


def generator() -> nn.Module:
    """Return the generator of pictures of 32×32."""
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(LATENT, 4 * WIDTH, 4, bias=False), nn.BatchNorm2d(4 * WIDTH), nn.ReLU(),
    ]  # fmt: skip
    for width in (2 * WIDTH, WIDTH):
        layers += [
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(WIDTH, 3, 4, 2, 1, bias=False), nn.Tanh())


def critic(normalized: bool) -> nn.Module:
    """Return the network that judges them, with batch normalization or without."""
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for width in (WIDTH, 2 * WIDTH):
        layers.append(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(2 * width)] if normalized else []
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.Conv2d(4 * WIDTH, 1, 4, bias=False), nn.Flatten(0))


def main(method: str, precision: str, way: str) -> None:
    """Train when it is this process's turn."""
    torch.manual_seed(0)
    wasserstein = method == "wgan_gp"
    makes, judges = generator(), critic(not wasserstein)
    betas = (0.0, 0.9) if wasserstein else (0.5, 0.999)
    optimizers = [
        torch.optim.Adam(net.parameters(), 2e-4, betas, fused=True) for net in (makes, judges)
    ]
    low = precision == "bf16"
    pictures = torch.rand(READY, BATCH, 3, 32, 32) * 2 - 1
    if way == "compile":
        makes, judges = (torch.compile(net, dynamic=False) for net in (makes, judges))

    def precise() -> contextlib.AbstractContextManager:
        return torch.autocast("cpu", torch.bfloat16) if low else contextlib.nullcontext()

    def penalty(real: Tensor, made: Tensor) -> Tensor:
        mixed = torch.lerp(real, made, torch.rand(BATCH, 1, 1, 1)).requires_grad_()
        with precise():
            logits = judges(mixed)
        [slopes] = torch.autograd.grad(logits.float().sum(), mixed, create_graph=True)
        return PENALTY * ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()

    def step(number: int) -> None:
        real = pictures[number % READY]
        with precise():
            made = makes(torch.randn(BATCH, LATENT, 1, 1))
            of_real, of_made = judges(real).float(), judges(made.detach()).float()
        if wasserstein:
            loss = of_made.mean() - of_real.mean() + penalty(real, made.detach().float())
        else:
            loss = F.softplus(-of_real).mean() + F.softplus(of_made).mean()
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        with precise():
            of_made = judges(made).float()
        loss = -of_made.mean() if wasserstein else F.softplus(-of_made).mean()
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        loss.item()

    parameters = [sum(p.numel() for p in net.parameters()) for net in (makes, judges)]
    turns = Turns({"framework": f"torch {torch.__version__}", "parameters": sum(parameters)}, {})
    while True:
        for number in range(turns.begin()):
            step(number)
        turns.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
