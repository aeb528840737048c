"""Marian of Hugging Face's `transformers`, which `decode.py` decodes with.

    python benchmarks/torch_decode.py greedy|beam

It is a contender (`turns.py`) and needs PyTorch and `transformers`. The model has the zoo's sizes
and random weights; keys and values are kept; an answer may not end before its last token.
"""

import sys

import torch
import transformers
from transformers import GenerationConfig, MarianConfig, MarianMTModel
from turns import Turns

VOCABULARY, WIDTH, DEPTH, HEADS = 8_000, 256, 4, 8
SOURCE, WIDTH_OF_BEAM = 18, 5


def main(way: str, *cases: str) -> None:
    """Answer when it is this process's turn."""
    torch.manual_seed(0)
    sizes = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", DEPTH), ("attention_heads", HEADS), ("ffn_dim", 4 * WIDTH))
    }
    config = MarianConfig(
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=0,
        decoder_start_token_id=1,
        eos_token_id=2,
        forced_eos_token_id=None,
        **sizes,
    )
    model = MarianMTModel(config).eval()

    def answer(batch: int, length: int) -> None:
        settings = GenerationConfig(
            max_new_tokens=length,
            min_new_tokens=length,
            num_beams=WIDTH_OF_BEAM if way == "beam" else 1,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
        source = torch.randint(4, VOCABULARY, (batch, SOURCE))
        mask = torch.ones_like(source)
        with torch.inference_mode():
            tokens = model.generate(source, attention_mask=mask, generation_config=settings)
        assert tokens.shape[1] == length + 1

    def action(batch: int, length: int):
        def repeat(count: int) -> None:
            for _ in range(count):
                answer(batch, length)

        return repeat

    names = [tuple(map(int, case.split("x"))) for case in cases]
    facts = {
        "framework": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    Turns(facts, {f"{batch}x{length}": action(batch, length) for batch, length in names}).begin()


if __name__ == "__main__":
    main(*sys.argv[1:])
