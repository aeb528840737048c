"""The models of `train_vision.py` in PyTorch, trained as its users train them.

    python benchmarks/torch_models.py MODEL PRECISION eager|compile

It is a contender (`turns.py`) and needs PyTorch alone. Pictures stay as they are in memory, their
channels last, which PyTorch calls a memory format; bfloat16 is by autocast; attention is the fused
`scaled_dot_product_attention`, optimizers are the fused ones. The twins have the layers and weights
of the zoo's models; but a convolution with a stride pads alike on all sides where Keras's "same"
does not.
"""

import contextlib
import sys
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from turns import Turns

BATCH, SIDE, CLASSES = 128, 32, 10
MATRIX = 2048  # side of the matrices whose product shows the peak


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution without a bias, and its normalization."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut: a projection, or every second pixel, padded by zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)
        self.stride, self.added = stride, outputs - inputs
        self.project = conv_bn(inputs, outputs, 1, stride) if project and stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` -> `(batch, outputs, height / stride, …)`."""
        y = self.second(F.relu(self.first(x)))
        if self.project:
            x = self.project(x)
        elif self.stride > 1:
            half = self.added // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.added - half))
        return F.relu(x + y)


class ResNet(nn.Module):
    """A residual network of basic blocks whose stem keeps the picture's size."""

    def __init__(self, filters: tuple[int, ...], blocks: int, project: bool) -> None:
        super().__init__()
        widths = [filters[0], *filters]
        self.stem = conv_bn(3, filters[0], 3)
        self.blocks = nn.Sequential(
            *(
                Block(
                    widths[stage + (block > 0)],
                    widths[stage + 1],
                    2 if stage and not block else 1,
                    project,
                )
                for stage in range(len(filters))
                for block in range(blocks)
            )
        )
        self.predictions = nn.Linear(filters[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures `(batch, 3, 32, 32)` -> logits."""
        return self.predictions(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


class Encoder(nn.Module):
    """A transformer's block: normalize, attend, add; normalize, perceptron, add."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, 1e-6) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp1, self.mlp2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, tokens, width)` -> the same."""
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, width / heads)
        y = F.scaled_dot_product_attention(query, key, value)
        x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp2(F.gelu(self.mlp1(self.norm2(x)), approximate="tanh"))


class ViT(nn.Module):
    """A vision transformer with a class token."""

    def __init__(self, width: int, depth: int, heads: int, patch: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + (SIDE // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Encoder(width, heads) for _ in range(depth)))
        self.norm, self.predictions = nn.LayerNorm(width, 1e-6), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures `(batch, 3, 32, 32)` -> logits."""
        x = self.patches(x).flatten(2).transpose(1, 2)  # (batch, tokens, width)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.positions
        return self.predictions(self.norm(self.blocks(x)[:, 0]))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet20": partial(ResNet, (16, 32, 64), 3, project=False),
    "resnet18": partial(ResNet, (64, 128, 256, 512), 2, project=True),
    "vit": partial(ViT, 192, 6, 3, 4),
}


def forward_flops(model: nn.Module) -> int:
    """Return the FLOPs of one picture's logits, as PyTorch counts them."""
    plain = nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH)  # the counter knows its products
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, SIDE, SIDE))
    model.train()
    return counter.get_total_flops()


def main(name: str, precision: str, way: str) -> None:
    """Train when it is this process's turn."""
    torch.manual_seed(0)
    model = MODELS[name]()
    flops = forward_flops(model)
    model.to(memory_format=torch.channels_last)
    if name == "vit":
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, nesterov=True, fused=True)
    low = precision == "bf16"

    def loss_of(pictures: Tensor, targets: Tensor) -> Tensor:
        x = pictures.permute(0, 3, 1, 2) / 127.5 - 1
        context = torch.autocast("cpu", torch.bfloat16) if low else contextlib.nullcontext()
        with context:
            logits = model(x)
        return F.cross_entropy(logits.float(), targets)

    forward = torch.compile(loss_of) if way == "compile" else loss_of
    pictures = torch.randint(0, 256, (8, BATCH, SIDE, SIDE, 3), dtype=torch.uint8)
    targets = torch.randint(0, CLASSES, (8, BATCH))

    def step(number: int) -> None:
        loss = forward(pictures[number % 8], targets[number % 8])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    matrix = torch.rand(MATRIX, MATRIX, dtype=torch.bfloat16 if low else torch.float32)

    def matmul(count: int) -> None:
        for _ in range(count):
            matrix @ matrix

    facts = {
        "framework": f"torch {torch.__version__}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "forward_flops": flops,
    }
    turns = Turns(facts, {"matmul": matmul})
    while True:
        for number in range(turns.begin()):
            step(number)
        turns.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
