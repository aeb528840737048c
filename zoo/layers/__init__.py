"""Layers and small pieces that several architectures share."""

from zoo.layers.attention import Attention, causal_bias, padding_bias, places_bias
from zoo.layers.attention_decoder import (
    AdditiveAttention,
    AttentionDecoder,
    MultiplicativeAttention,
)
from zoo.layers.batch_normalization import BatchNormalization
from zoo.layers.conv2d import Conv2D
from zoo.layers.convolution import conv, conv_bn, depthwise_bn, inverted_residual, normalized
from zoo.layers.cross_entropy import token_hits, token_losses
from zoo.layers.dropout import Dropout
from zoo.layers.embedding import SinusoidalPositions, TokenEmbedding
from zoo.layers.fake_quantize import FakeQuantize
from zoo.layers.gaussian_code import GaussianCode
from zoo.layers.gelu import Gelu
from zoo.layers.heads import activated, predictions
from zoo.layers.inputs import IMAGENET, raw_input
from zoo.layers.local_response import LocalResponseNormalization
from zoo.layers.logits import TokenLogits
from zoo.layers.rounded_kernel import ROUNDED, RoundedKernel, channel_axes, rounded
from zoo.layers.standardize import Standardize
from zoo.layers.tokens import ClassToken, LearnedPositions
from zoo.layers.transformer_block import TransformerBlock

__all__ = [
    "IMAGENET",
    "ROUNDED",
    "AdditiveAttention",
    "Attention",
    "AttentionDecoder",
    "BatchNormalization",
    "ClassToken",
    "Conv2D",
    "Dropout",
    "FakeQuantize",
    "GaussianCode",
    "Gelu",
    "LearnedPositions",
    "LocalResponseNormalization",
    "MultiplicativeAttention",
    "RoundedKernel",
    "SinusoidalPositions",
    "Standardize",
    "TokenEmbedding",
    "TokenLogits",
    "TransformerBlock",
    "activated",
    "causal_bias",
    "channel_axes",
    "conv",
    "conv_bn",
    "depthwise_bn",
    "inverted_residual",
    "normalized",
    "padding_bias",
    "places_bias",
    "predictions",
    "raw_input",
    "rounded",
    "token_hits",
    "token_losses",
]
