"""What is published of the architectures, and which the tests look at closely, at which size."""

from typing import Any

import keras
import numpy as np

import zoo
from zoo.catalog import NAMES

# Numbers of trainable parameters as they stand in the papers, the book and its course.
PUBLISHED = {
    "softmax": 7_850,
    "mlp_book": 419_860,
    "mlp_practical": 109_386,
    "mlp_unit5": 178_110,
    "convnet": 5_386,
    "autoencoder": 47_854,
    "autoencoder_deep": 80_294,
    "lenet5_1998": 60_000,
    "lenet5": 61_706,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet20_b": 272_474,
    "resnet32_b": 466_906,
    "resnet44_b": 661_338,
    "resnet56_b": 855_770,
    "resnet110_b": 1_730_714,
    "alexnet": 60_965_224,
    "alexnet_one_group": 62_378_344,
    "alexnet_2014": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet": 6_998_552,
    "googlenet_auxiliary": 13_378_280,
    "googlenet_bn": 7_005_832,
    "googlenet_bn_auxiliary": 13_385_816,
    "googlenet_bn_3x3": 6_624_904,
    "inception": 1_649_402,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "wide_resnet_16_4": 2_748_890,
    "wide_resnet_28_10": 36_479_194,
    "wide_resnet_40_2": 2_243_546,
    "wide_resnet_40_4": 8_949_210,
    "mobilenet_v2": 3_504_872,
    "vit_ti4": 5_362_762,
    "vit_ti16": 5_717_416,
    "vit_s16": 22_050_664,
    "vit_b16": 86_567_656,
    "efficientnet_lite0": 4_652_008,
    "transformer_base": 63_082_496,
    "transformer_big": 214_245_376,
    "bert_tiny": 4_385_920,
    "bert_small": 28_763_648,
    "bert_base": 109_482_240,
    "bert_large": 335_141_888,
    "gpt2": 124_439_808,
    "dqn": 10_934,
    "dqn_2013": 677_172,
    "dqn_nature": 1_686_180,
    "dqn_minatar": 132_566,
    "dcgan_64_wide": 12_658_432,
    "dcgan_64_wide_discriminator": 11_036_160,
    "dcgan_64": 3_576_704,
    "dcgan_64_discriminator": 2_765_568,
    "vae": 815_824,
}

# The same with the statistics of batch normalization, which Keras counts and the papers do not.
TOTALS = {
    "googlenet_bn": 7_020_392,
    "googlenet_bn_auxiliary": 13_400_888,
    "googlenet_bn_3x3": 6_639_464,
    "inception_v3": 23_851_784,
    "resnet18": 11_699_112,
    "resnet34": 21_814_696,
    "resnet50": 25_610_152,
    "resnet101": 44_654_504,
    "resnet152": 60_344_232,
    "resnet20": 271_098,
    "resnet32": 466_426,
    "resnet44": 661_754,
    "resnet56": 857_082,
    "resnet110": 1_736_058,
    "resnet20_b": 274_042,
    "resnet32_b": 469_370,
    "resnet44_b": 664_698,
    "resnet56_b": 860_026,
    "resnet110_b": 1_739_002,
    "wide_resnet_16_4": 2_752_506,
    "wide_resnet_28_10": 36_497_146,
    "wide_resnet_40_2": 2_248_954,
    "wide_resnet_40_4": 8_959_994,
    "mobilenet_v2": 3_538_984,
    "dcgan_64_wide": 12_662_272,
    "dcgan_64_wide_discriminator": 11_039_744,
    "dcgan_64": 3_578_624,
    "dcgan_64_discriminator": 2_767_360,
}

VOCABULARY, LENGTH = 23, 7  # of the small networks for text
_RNN = {"vocabulary_size": VOCABULARY, "embedding_dim": 12, "units": (16,)}
_SEQ2SEQ = {
    "source_vocabulary_size": VOCABULARY,
    "target_vocabulary_size": VOCABULARY,
    "embedding_dim": 12,
    "units": 16,
}
_BLOCKS = {"vocabulary_size": VOCABULARY, "width": 16, "depth": 2, "num_heads": 4}
_SMALL = {"input_shape": (64, 64, 3), "classes": 10}

# What a name is built with where its own size would only cost time.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": _SMALL,
    "vgg11": _SMALL,
    "vgg11_bn": _SMALL,
    "googlenet": _SMALL,
    "googlenet_bn": _SMALL,
    "inception_v3": {"input_shape": (75, 75, 3), "classes": 10},
    "resnet18": _SMALL,
    "resnet50": _SMALL | {"blocks": (1, 2, 1, 1)},
    "resnet18_v2": _SMALL,
    "resnet50_v2": _SMALL | {"blocks": (1, 2, 1, 1)},
    "wide_resnet_16_4": {"input_shape": (16, 16, 3)},
    "mobilenet_v2_half": _SMALL,
    "efficientnet_lite0": _SMALL,
    "simple_rnn_classifier": _RNN,
    "lstm_classifier": _RNN,
    "gru_classifier": _RNN,
    "bilstm_classifier": _RNN,
    "simple_rnn_language_model": _RNN,
    "lstm_language_model": _RNN,
    "gru_language_model": _RNN,
    "lstm_seq2seq": _SEQ2SEQ,
    "gru_seq2seq": _SEQ2SEQ,
    "gru_attention": _SEQ2SEQ,
    "lstm_attention_dot": _SEQ2SEQ,
    "lstm_attention_general": _SEQ2SEQ,
    "lstm_attention_concat": _SEQ2SEQ,
    "transformer": _BLOCKS,
    "bert": _BLOCKS,
    "gpt": _BLOCKS,
    "alexnet_one_group": _SMALL,
    "googlenet_auxiliary": _SMALL | {"input_shape": (65, 65, 3)},
    "googlenet_bn_3x3": _SMALL,
    "resnet50_v1_5": _SMALL | {"blocks": (1, 2, 1, 1)},
    "vit_ti16": _SMALL,
}

# Deeper or wider than another variant of the same builder, or trained with further outputs: they
# are counted, and called where they have something of their own.
LARGER = {
    "resnet32", "resnet44", "resnet56", "resnet110", "resnet32_b", "resnet44_b", "resnet56_b",
    "resnet110_b", "vit_ti4", "vit_ti16", "vit_s16", "vit_b16", "alexnet_one_group", "alexnet_2014",
    "vgg13", "vgg16", "vgg19", "vgg13_bn", "vgg16_bn", "vgg19_bn", "googlenet_auxiliary",
    "googlenet_bn_auxiliary", "googlenet_bn_3x3", "inception", "resnet34", "resnet101", "resnet152",
    "resnet50_v1_5", "resnet101_v1_5", "resnet152_v1_5", "resnet34_v2", "resnet101_v2",
    "resnet152_v2", "wide_resnet_28_10", "wide_resnet_40_2", "wide_resnet_40_4", "mobilenet_v2",
    "transformer_base", "transformer_big", "bert_tiny", "bert_small", "bert_base", "bert_large",
    "gpt2", "dqn_c51", "dqn_nature", "dqn_nature_dueling", "dqn_nature_c51", "dcgan_32", "dcgan_64",
    "dcgan_64_wide", "dcgan_32_discriminator", "dcgan_32_critic", "dcgan_64_discriminator",
    "dcgan_64_wide_discriminator", "sngan",
}  # fmt: skip
# With random weights, rounding to eight bits grows from layer to layer, from half a percent after
# the first stage to a third and more of the last one's features: of these networks, the answers to
# different pictures are told apart alike, and not more. Unrelated answers correlate at about 0.
DEEP = {"googlenet_bn", "inception_v3", "mobilenet_v2_half", "efficientnet_lite0"}
CLOSELY = [name for name in NAMES if name not in LARGER]
# Of the others, those whose graph has something that no network above has.
PARTICULAR = [
    "alexnet_one_group", "googlenet_auxiliary", "googlenet_bn_3x3", "resnet50_v1_5", "vit_ti16",
    "dqn_c51",
]  # fmt: skip


def nearly_alike(name: str, rounded: np.ndarray, exact: np.ndarray) -> bool:
    """Return whether an architecture's outputs in bfloat16 are as near as they can be."""
    # Fresh ones answer nearly alike to everything; judgements may have any size.
    if NAMES[name].family == "sequence" or NAMES[name].task == "discrimination":
        return bool(np.abs(rounded - exact).max() <= 0.06 * np.ptp(exact))
    if name not in DEEP:
        return bool(np.abs(rounded - exact).max() <= 0.06)
    usual = exact.mean(axis=0)
    return bool(np.corrcoef((rounded - usual).ravel(), (exact - usual).ravel())[0, 1] > 0.3)


def build(name: str, **arguments: Any) -> keras.Model:
    """Build an architecture at the size that the tests look at."""
    return zoo.build(name, **SMALL.get(name, {}) | arguments)


def raw(model: keras.Model, examples: int, seed: int = 0) -> Any:
    """Return inputs as users have them: pictures of any brightness, masks, rows, texts, labels."""
    random = np.random.default_rng(seed)
    inputs = {tensor.name: _raw(tensor, random, examples) for tensor in model.inputs}
    return inputs if isinstance(model.input, dict) else inputs[model.inputs[0].name]


def _raw(tensor: keras.KerasTensor, random: np.random.Generator, examples: int) -> np.ndarray:
    shape = (examples, *tensor.shape[1:])
    if tensor.dtype == "int32":
        return (
            _texts(random, examples)
            if len(shape) == 2
            else (random.permutation(examples) % 10).astype("int32")
        )
    if len(shape) == 2:
        return random.normal(size=shape).astype("float32")
    if tensor.dtype == "bool":
        return random.random(shape) < 0.3
    kept = random.random(shape) < random.random((examples, 1, 1, 1))
    pictures = (random.integers(0, 256, shape) * kept).astype("uint8")
    return pictures if tensor.dtype == "uint8" else (pictures / 255).astype("float32")


def _texts(random: np.random.Generator, examples: int) -> np.ndarray:
    """Return token ids of mixed lengths, padded behind."""
    ids = random.integers(1, VOCABULARY, (examples, LENGTH)).astype("int32")
    lengths = random.integers(2, LENGTH + 1, (examples, 1))
    return np.where(np.arange(LENGTH) < lengths, ids, 0).astype("int32")


def some(inputs: Any, places: slice) -> Any:
    """Return the examples at some places of all inputs."""
    return keras.tree.map_structure(lambda array: array[places], inputs)
