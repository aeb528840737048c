"""How the weights of every architecture are divided, where a model is too large for one device.

The blocks that the architectures share name their weights alike, and so a table by their names is
the layout of each. The axes are those of *Megatron-LM*, Shoeybi et al. 2019,
https://arxiv.org/abs/1909.08053: attention by its heads, a perceptron by its hidden units, an
embedding by its tokens; what a divided layer gives to the next need not be put together before it.
Convolutions are divided by their output channels. Recurrent kernels are whole: they are used at
every step of a text, and each would wait for the others.
"""

import re

MODEL = "model"

_Axes = tuple[str | None, ...]

# The end of a variable's path -> its axes; the first that fits and divides counts, and () ends the
# search. Keras' own attention has the heads as an axis. The zoo's has them side by side in columns:
# a shard has whole heads where the shards divide their number, and else parts, to be put together.
LAYOUTS: tuple[tuple[str, _Axes], ...] = (
    (r"attention\w*/(query|key|value)/kernel", (None, MODEL)),
    (r"attention\w*/(query|key|value)/kernel", (None, MODEL, None)),
    (r"attention\w*/(query|key|value)/bias", (MODEL,)),
    (r"attention\w*/(query|key|value)/bias", (MODEL, None)),
    (r"attention\w*/output/kernel", (MODEL, None)),
    (r"attention\w*/attention_output/kernel", (MODEL, None, None)),
    (r"wide/kernel", (None, MODEL)),
    (r"wide/bias", (MODEL,)),
    (r"narrow/kernel", (MODEL, None)),
    (r"embedding/(table|embeddings)", (MODEL, None)),
    (r"embedding/(table|embeddings)", (None, MODEL)),  # of an odd number of tokens
    (r"logits/kernel", (None, MODEL)),
    (r"logits/kernel", (MODEL, None)),
    (r"logits/bias", (MODEL,)),
    (r"cell/\w+", ()),
    (r"kernel", (None, None, None, MODEL)),
    (r"kernel", (None, MODEL)),
)


def axes_of(path: str, shape: tuple[int, ...], shards: int) -> _Axes:
    """Return along which axis a variable is divided.

    Args:
        path: of the variable, as Keras names it, such as "stage1/wide/kernel".
        shape: of the variable.
        shards: into how many parts; an axis that they do not divide stays whole.

    Returns:
        For each axis, "model" or `None`.

    Example:
        >>> from zoo.layouts import axes_of
        >>> axes_of("stage1/wide/kernel", (192, 768), 4)
        (None, 'model')
        >>> axes_of("stage1/self_norm/gamma", (192,), 4)
        (None,)
    """
    whole: _Axes = (None,) * len(shape)
    for pattern, axes in LAYOUTS:
        if not re.search(f"(^|/|_){pattern}$", path):
            continue
        if not axes:
            return whole
        if len(axes) == len(shape) and all(
            size % shards == 0 for size, axis in zip(shape, axes, strict=True) if axis
        ):
            return axes
    return whole
