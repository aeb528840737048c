"""The models of `train_sequence.py` in PyTorch, trained as its users train them.

    python benchmarks/torch_sequences.py MODEL PRECISION DROPOUT eager|compile

It is a contender (`turns.py`) and needs PyTorch alone; bfloat16 is by autocast, Adam is the fused
one. The twins have the weights of the zoo's models: of an LSTM's two biases one is not trained, and
one table serves the transformer's source, target and output. They drop in the same places, which
are fewer than those of `nn.Transformer` by default. The encoders read on into the padding, where
the zoo's stop at it; a packed sequence would stop, too, and is slower.
"""

import contextlib
import math
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import Turns

BATCH, LENGTH, SHORTEST, READY = 96, 18, 12, 8
VOCABULARY, WIDTH, DEPTH, HEADS = 8_000, 256, 4, 8


class LSTM(nn.Module):
    """An encoder whose last state is the decoder's first."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.source, self.target = (nn.Embedding(VOCABULARY, WIDTH) for _ in range(2))
        self.encoder, self.decoder = (nn.LSTM(WIDTH, WIDTH, batch_first=True) for _ in range(2))
        for layer in (self.encoder, self.decoder):
            nn.init.zeros_(layer.bias_hh_l0).requires_grad_(False)
        self.logits, self.drop = nn.Linear(WIDTH, VOCABULARY), nn.Dropout(dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Tokens `(batch, places)` and `(batch, length)` -> logits of each next token."""
        _, state = self.encoder(self.drop(self.source(source)))
        x, _ = self.decoder(self.drop(self.target(target)), state)
        return self.logits(self.drop(x))


class Attentive(nn.Module):
    """A GRU that looks at the whole source, read from both ends, before each of its steps."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.source, self.target = (nn.Embedding(VOCABULARY, WIDTH) for _ in range(2))
        self.encoder = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * WIDTH, WIDTH)
        self.cell = nn.GRUCell(3 * WIDTH, WIDTH)
        self.of_query = nn.Linear(WIDTH, WIDTH)
        self.of_memory = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.score = nn.Linear(WIDTH, 1, bias=False)
        self.logits, self.drop = nn.Linear(4 * WIDTH, VOCABULARY), nn.Dropout(dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Tokens `(batch, places)` and `(batch, length)` -> logits of each next token."""
        memory, ends = self.encoder(self.drop(self.source(source)))
        state = torch.tanh(self.bridge(torch.cat([*ends], dim=-1)))
        keys = self.of_memory(memory)  # (batch, places, width)
        bias = (source == 0).float() * -3e4
        words = self.drop(self.target(target))
        states, findings = [], []
        for x in words.unbind(1):
            scores = self.score(torch.tanh(self.of_query(state).unsqueeze(1) + keys))[..., 0]
            weights = torch.softmax(scores + bias, dim=-1)
            found = torch.bmm(weights.unsqueeze(1).to(memory.dtype), memory)[:, 0]
            state = self.cell(torch.cat([x, found], dim=-1), state)
            states.append(state)
            findings.append(found)
        x = torch.cat([torch.stack(states, 1), torch.stack(findings, 1), words], dim=-1)
        return self.logits(self.drop(x))


class Transformer(nn.Module):
    """`nn.Transformer` with its normalizations first, between one table's two sides."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        nn.init.normal_(self.table.weight, std=WIDTH**-0.5)
        self.blocks = nn.Transformer(
            WIDTH, HEADS, DEPTH, DEPTH, 4 * WIDTH, dropout, batch_first=True, norm_first=True
        )
        for layer in [*self.blocks.encoder.layers, *self.blocks.decoder.layers]:
            layer.dropout = nn.Identity()  # inside the perceptron
            layer.self_attn.dropout = 0.0  # of the weights
            if hasattr(layer, "multihead_attn"):
                layer.multihead_attn.dropout = 0.0
        self.drop = nn.Dropout(dropout)
        angles = torch.arange(LENGTH).unsqueeze(1) * 1e4 ** (-torch.arange(0, WIDTH, 2) / WIDTH)
        waves = torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(LENGTH, WIDTH)
        self.register_buffer("waves", waves)
        self.register_buffer("later", nn.Transformer.generate_square_subsequent_mask(LENGTH))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Tokens `(batch, places)` and `(batch, length)` -> logits of each next token."""
        x, y = (self.drop(self.table(t) * math.sqrt(WIDTH) + self.waves) for t in (source, target))
        hidden = torch.zeros(source.shape).masked_fill(source == 0, -math.inf)
        x = self.blocks(
            x,
            y,
            tgt_mask=self.later,
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )
        return F.linear(x, self.table.weight)


MODELS: dict[str, Callable[[float], nn.Module]] = {
    "lstm_seq2seq": LSTM,
    "gru_attention": Attentive,
    "transformer": Transformer,
}


def sentences(places: int) -> Tensor:
    """Return `READY` batches of tokens, with padding behind."""
    ids = torch.randint(4, VOCABULARY, (READY, BATCH, places))
    lengths = torch.randint(SHORTEST, places + 1, (READY, BATCH, 1))
    return ids.masked_fill(torch.arange(places) >= lengths, 0)


def main(name: str, precision: str, dropout: str, way: str) -> None:
    """Train when it is this process's turn."""
    torch.manual_seed(0)
    model = MODELS[name](float(dropout))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, 1e-4, fused=True)
    low = precision == "bf16"

    def loss_of(source: Tensor, target: Tensor, answer: Tensor) -> Tensor:
        context = torch.autocast("cpu", torch.bfloat16) if low else contextlib.nullcontext()
        with context:
            logits = model(source, target)
        return F.cross_entropy(
            logits.float().reshape(-1, VOCABULARY), answer.reshape(-1), ignore_index=0
        )

    forward = torch.compile(loss_of) if way == "compile" else loss_of
    sources, texts = sentences(LENGTH), sentences(LENGTH + 1)

    def step(number: int) -> None:
        text = texts[number % READY]
        loss = forward(sources[number % READY], text[:, :-1], text[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    facts = {
        "framework": f"torch {torch.__version__}",
        "parameters": sum(p.numel() for p in trained),
    }
    turns = Turns(facts, {})
    while True:
        for number in range(turns.begin()):
            step(number)
        turns.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
