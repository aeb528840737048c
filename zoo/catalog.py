"""The whole zoo as one table. Reading it imports no Keras."""

from zoo.registry import Architecture, Variant, index

# Inputs and outputs of the two collections of pictures that most vision models were made for.
_CIFAR = {"input_shape": (32, 32, 3), "classes": 10}
_IMAGENET = {"input_shape": (224, 224, 3), "classes": 1000}
_RESNET_50 = {"blocks": (3, 4, 6, 3), "bottleneck": True}
_RESNET_101 = {"blocks": (3, 4, 23, 3), "bottleneck": True}
_RESNET_152 = {"blocks": (3, 8, 36, 3), "bottleneck": True}
_V1_5 = {"version": "v1.5"}
_V2 = {"version": "v2"}
_VIT_TI = {"width": 192, "depth": 12, "num_heads": 3}
# The one table of the paper's English–German; BERT's, before any head.
_TRANSFORMER = {
    "vocabulary_size": 37_000,
    "width": 512,
    "depth": 6,
    "num_heads": 8,
    "pre_norm": False,
}
_BERT = {"vocabulary_size": 30_522, "segments": 2, "include_top": False}
# An Atari screen, four frames of it, with the actions of Breakout.
_ATARI = {"input_shape": (84, 84, 4), "actions": 4, "observation": "uint8"}
_NATURE = _ATARI | {"convolutions": ((32, 8, 4), (64, 4, 2), (64, 3, 1)), "hidden": (512,)}
_DIGITS = {"classes": 10}  # what a conditional one is asked of
_MADE_32, _MADE_64 = {"output_shape": (32, 32, 3)}, {"output_shape": (64, 64, 3)}
_SEEN_32, _SEEN_64 = {"input_shape": (32, 32, 3)}, {"input_shape": (64, 64, 3)}
_PLAIN = {"normalization": "none"}
_DCGAN = (
    "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks"
)
_VIT_16 = {"patch_size": 16, **_IMAGENET}

ROWS = (
    Architecture(
        name="linear",
        family="dense",
        task="regression",
        builder="zoo.dense.linear:linear",
        variants={"linear": Variant(11, 20)},
        paper="Gauss and the invention of least squares",
        link="https://doi.org/10.1214/aos/1176345451",
        year=1981,
        section="2.3",
    ),
    Architecture(
        name="logistic",
        family="dense",
        task="classification",
        builder="zoo.dense.linear:logistic",
        variants={"logistic": Variant(31, 60)},
        paper="The regression analysis of binary sequences",
        link="https://doi.org/10.1111/j.2517-6161.1958.tb00292.x",
        year=1958,
        section="3.1",
    ),
    Architecture(
        name="softmax",
        family="dense",
        task="classification",
        builder="zoo.dense.linear:softmax",
        variants={"softmax": Variant(7_850)},
        paper="Probabilistic interpretation of feedforward classification network outputs",
        link="https://doi.org/10.1007/978-3-642-76153-9_28",
        year=1990,
        section="3.3",
    ),
    Architecture(
        name="mlp",
        family="dense",
        task="classification",
        builder="zoo.dense.mlp:mlp",
        variants={
            "mlp": Variant(235_146),
            # Figure 4.4 of the book, Practical 4 and Unit 5 of its course.
            "mlp_book": Variant(419_860, arguments={"hidden": (400, 200, 100, 50)}),
            "mlp_practical": Variant(109_386, arguments={"hidden": (128, 64)}),
            "mlp_unit5": Variant(178_110, arguments={"hidden": (200, 100)}),
        },
        paper="Learning representations by back-propagating errors",
        link="https://doi.org/10.1038/323533a0",
        year=1986,
        section="5.1",
    ),
    Architecture(
        name="autoencoder",
        family="dense",
        task="reconstruction",
        builder="zoo.dense.autoencoder:autoencoder",
        variants={
            "autoencoder": Variant(47_854),
            "autoencoder_deep": Variant(80_294, arguments={"hidden": (50,), "code": 10}),
            "autoencoder_denoising": Variant(785_284, arguments={"code": 500}),
        },
        paper="Auto-association by multilayer perceptrons and singular value decomposition",
        link="https://doi.org/10.1007/BF00332918",
        year=1988,
        section="3.5",
    ),
    Architecture(
        name="lenet5",
        family="vision",
        task="classification",
        builder="zoo.vision.lenet:lenet5",
        variants={"lenet5": Variant(61_706)},
        paper="Gradient-based learning applied to document recognition",
        link="https://doi.org/10.1109/5.726791",
        year=1998,
        section="6.5",
    ),
    Architecture(
        name="lenet5_1998",
        family="vision",
        task="classification",
        builder="zoo.vision.lenet:lenet5_1998",
        variants={"lenet5_1998": Variant(60_000)},
        paper="Gradient-based learning applied to document recognition",
        link="https://doi.org/10.1109/5.726791",
        year=1998,
        section="6.5",
    ),
    Architecture(
        name="convnet",
        family="vision",
        task="classification",
        builder="zoo.vision.convnet:convnet",
        variants={"convnet": Variant(5_386)},
        paper="The Mathematical Engineering of Deep Learning, course unit 5",
        link="https://deeplearningmath.org",
        year=2021,
        section="6.2",
    ),
    Architecture(
        name="alexnet",
        family="vision",
        task="classification",
        builder="zoo.vision.alexnet:alexnet",
        variants={
            "alexnet": Variant(60_965_224),
            "alexnet_one_group": Variant(62_378_344, arguments={"groups": 1}),
            # One weird trick: other widths, no local response normalization.
            "alexnet_2014": Variant(
                61_100_840,
                arguments={
                    "filters": (64, 192, 384, 256, 256),
                    "groups": 1,
                    "response_norm": False,
                },
            ),
        },
        paper="ImageNet Classification with Deep Convolutional Neural Networks",
        link="https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
        year=2012,
        section="6.5",
    ),
    Architecture(
        name="vgg",
        family="vision",
        task="classification",
        builder="zoo.vision.vgg:vgg",
        variants={
            "vgg11": Variant(132_863_336, arguments={"convolutions": (1, 1, 2, 2, 2)}),
            "vgg13": Variant(133_047_848, arguments={"convolutions": (2, 2, 2, 2, 2)}),
            "vgg16": Variant(138_357_544, arguments={"convolutions": (2, 2, 3, 3, 3)}),
            "vgg19": Variant(143_667_240, arguments={"convolutions": (2, 2, 4, 4, 4)}),
            "vgg11_bn": Variant(
                132_868_840, 5_504, {"convolutions": (1, 1, 2, 2, 2), "batch_norm": True}
            ),
            "vgg13_bn": Variant(
                133_053_736, 5_888, {"convolutions": (2, 2, 2, 2, 2), "batch_norm": True}
            ),
            "vgg16_bn": Variant(
                138_365_992, 8_448, {"convolutions": (2, 2, 3, 3, 3), "batch_norm": True}
            ),
            "vgg19_bn": Variant(
                143_678_248, 11_008, {"convolutions": (2, 2, 4, 4, 4), "batch_norm": True}
            ),
        },
        paper="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        link="https://arxiv.org/abs/1409.1556",
        year=2014,
        section="6.5",
    ),
    Architecture(
        name="googlenet",
        family="vision",
        task="classification",
        builder="zoo.vision.googlenet:googlenet",
        variants={
            "googlenet": Variant(6_998_552),
            "googlenet_auxiliary": Variant(13_378_280, arguments={"auxiliary": True}),
            "googlenet_bn": Variant(7_005_832, 14_560, {"batch_norm": True}),
            "googlenet_bn_auxiliary": Variant(
                13_385_816, 15_072, {"batch_norm": True, "auxiliary": True}
            ),
            "googlenet_bn_3x3": Variant(6_624_904, 14_560, {"batch_norm": True, "wide_kernel": 3}),
        },
        paper="Going Deeper with Convolutions",
        link="https://arxiv.org/abs/1409.4842",
        year=2014,
        section="6.5",
    ),
    Architecture(
        name="inception",
        family="vision",
        task="classification",
        builder="zoo.vision.inception:inception",
        variants={
            "inception": Variant(1_649_402, 3_424),
            "inception_half": Variant(414_274, 1_712, {"alpha": 0.5}),
        },
        paper="Understanding deep learning requires rethinking generalization",
        link="https://arxiv.org/abs/1611.03530",
        year=2016,
        section="6.5",
    ),
    Architecture(
        name="inception_v3",
        family="vision",
        task="classification",
        builder="zoo.vision.inception_v3:inception_v3",
        variants={"inception_v3": Variant(23_817_352, 34_432)},
        paper="Rethinking the Inception Architecture for Computer Vision",
        link="https://arxiv.org/abs/1512.00567",
        year=2015,
        section="6.5",
    ),
    Architecture(
        name="resnet",
        family="vision",
        task="classification",
        builder="zoo.vision.resnet:resnet",
        variants={
            "resnet18": Variant(11_689_512, 9_600, {"blocks": (2, 2, 2, 2)}),
            "resnet34": Variant(21_797_672, 17_024, {"blocks": (3, 4, 6, 3)}),
            "resnet50": Variant(25_557_032, 53_120, _RESNET_50),
            "resnet101": Variant(44_549_160, 105_344, _RESNET_101),
            "resnet152": Variant(60_192_808, 151_424, _RESNET_152),
            "resnet50_v1_5": Variant(25_557_032, 53_120, _RESNET_50 | _V1_5),
            "resnet101_v1_5": Variant(44_549_160, 105_344, _RESNET_101 | _V1_5),
            "resnet152_v1_5": Variant(60_192_808, 151_424, _RESNET_152 | _V1_5),
            "resnet18_v2": Variant(11_687_720, 7_808, {"blocks": (2, 2, 2, 2), **_V2}),
            "resnet34_v2": Variant(21_795_880, 15_232, {"blocks": (3, 4, 6, 3), **_V2}),
            "resnet50_v2": Variant(25_549_352, 45_440, _RESNET_50 | _V2),
            "resnet101_v2": Variant(44_541_480, 97_664, _RESNET_101 | _V2),
            "resnet152_v2": Variant(60_185_128, 143_744, _RESNET_152 | _V2),
        },
        paper="Deep Residual Learning for Image Recognition",
        link="https://arxiv.org/abs/1512.03385",
        year=2015,
        section="6.5",
    ),
    Architecture(
        name="resnet_cifar",
        family="vision",
        task="classification",
        builder="zoo.vision.resnet_cifar:resnet_cifar",
        variants={
            "resnet20": Variant(269_722, 1_376, {"blocks": 3}),
            "resnet32": Variant(464_154, 2_272, {"blocks": 5}),
            "resnet44": Variant(658_586, 3_168, {"blocks": 7}),
            "resnet56": Variant(853_018, 4_064, {"blocks": 9}),
            "resnet110": Variant(1_727_962, 8_096, {"blocks": 18}),
            "resnet20_b": Variant(272_474, 1_568, {"blocks": 3, "shortcut": "projection"}),
            "resnet32_b": Variant(466_906, 2_464, {"blocks": 5, "shortcut": "projection"}),
            "resnet44_b": Variant(661_338, 3_360, {"blocks": 7, "shortcut": "projection"}),
            "resnet56_b": Variant(855_770, 4_256, {"blocks": 9, "shortcut": "projection"}),
            "resnet110_b": Variant(1_730_714, 8_288, {"blocks": 18, "shortcut": "projection"}),
        },
        paper="Deep Residual Learning for Image Recognition",
        link="https://arxiv.org/abs/1512.03385",
        year=2015,
        section="6.5",
    ),
    Architecture(
        name="wide_resnet",
        family="vision",
        task="classification",
        builder="zoo.vision.wide_resnet:wide_resnet",
        variants={
            "wide_resnet_16_4": Variant(2_748_890, 3_616, {"depth": 16, "widen": 4}),
            "wide_resnet_28_10": Variant(36_479_194, 17_952, {"depth": 28, "widen": 10}),
            "wide_resnet_40_2": Variant(2_243_546, 5_408, {"depth": 40, "widen": 2}),
            "wide_resnet_40_4": Variant(8_949_210, 10_784, {"depth": 40, "widen": 4}),
        },
        paper="Wide Residual Networks",
        link="https://arxiv.org/abs/1605.07146",
        year=2016,
        section="6.5",
    ),
    Architecture(
        name="mobilenet_v2",
        family="vision",
        task="classification",
        builder="zoo.vision.mobilenet_v2:mobilenet_v2",
        variants={
            "mobilenet_v2": Variant(3_504_872, 34_112),
            "mobilenet_v2_half": Variant(1_968_680, 18_544, {"alpha": 0.5}),
        },
        paper="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        link="https://arxiv.org/abs/1801.04381",
        year=2018,
        section="6.5",
    ),
    Architecture(
        name="vit",
        family="vision",
        task="classification",
        builder="zoo.vision.vit:vit",
        variants={
            "vit": Variant(305_034),
            "vit_ti4": Variant(5_362_762, arguments=_VIT_TI | {"patch_size": 4, **_CIFAR}),
            "vit_ti16": Variant(5_717_416, arguments=_VIT_TI | _VIT_16),
            "vit_s16": Variant(
                22_050_664, arguments={"width": 384, "depth": 12, "num_heads": 6} | _VIT_16
            ),
            "vit_b16": Variant(
                86_567_656, arguments={"width": 768, "depth": 12, "num_heads": 12} | _VIT_16
            ),
        },
        paper="An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
        link="https://arxiv.org/abs/2010.11929",
        year=2020,
        section="7.5",
    ),
    Architecture(
        name="efficientnet_lite",
        family="vision",
        task="classification",
        builder="zoo.vision.efficientnet_lite:efficientnet_lite0",
        variants={"efficientnet_lite0": Variant(4_652_008, 42_016)},
        paper="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        link="https://arxiv.org/abs/1905.11946",
        year=2019,
        section="6.5",
    ),
    Architecture(
        name="rnn_classifier",
        family="sequence",
        task="classification",
        builder="zoo.sequence.rnn:rnn_classifier",
        variants={
            "simple_rnn_classifier": Variant(1_313_154, arguments={"cell": "simple"}),
            "lstm_classifier": Variant(1_411_842),
            "gru_classifier": Variant(1_379_330, arguments={"cell": "gru"}),
            "bilstm_classifier": Variant(1_543_682, arguments={"bidirectional": True}),
        },
        paper="Long Short-Term Memory",
        link="https://doi.org/10.1162/neco.1997.9.8.1735",
        year=1997,
        section="7.3",
    ),
    Architecture(
        name="rnn_language_model",
        family="sequence",
        task="language_modeling",
        builder="zoo.sequence.rnn:rnn_language_model",
        variants={
            "simple_rnn_language_model": Variant(245_604, arguments={"cell": "simple"}),
            "lstm_language_model": Variant(886_116),
            "gru_language_model": Variant(674_148, arguments={"cell": "gru"}),
        },
        paper="Finding Structure in Time",
        link="https://doi.org/10.1207/s15516709cog1402_1",
        year=1990,
        section="7.2",
    ),
    Architecture(
        name="seq2seq",
        family="sequence",
        task="translation",
        builder="zoo.sequence.seq2seq:seq2seq",
        variants={
            "lstm_seq2seq": Variant(9_811_824),
            "gru_seq2seq": Variant(
                14_421_872, arguments={"cell": "gru", "context_every_step": True}
            ),
            "gru_attention": Variant(
                20_775_280,
                arguments={"cell": "gru", "attention": "bahdanau", "bidirectional": True},
            ),
            "lstm_attention_dot": Variant(10_336_112, arguments={"attention": "dot"}),
            "lstm_attention_general": Variant(10_598_256, arguments={"attention": "general"}),
            "lstm_attention_concat": Variant(10_861_424, arguments={"attention": "concat"}),
        },
        paper="Neural Machine Translation by Jointly Learning to Align and Translate",
        link="https://arxiv.org/abs/1409.0473",
        year=2014,
        section="7.4",
    ),
    Architecture(
        name="transformer",
        family="sequence",
        task="translation",
        builder="zoo.sequence.transformer:transformer",
        variants={
            "transformer": Variant(8_090_624),
            "transformer_base": Variant(63_082_496, arguments=_TRANSFORMER),
            "transformer_big": Variant(
                214_245_376,
                arguments=_TRANSFORMER | {"width": 1024, "num_heads": 16, "dropout": 0.3},
            ),
        },
        paper="Attention Is All You Need",
        link="https://arxiv.org/abs/1706.03762",
        year=2017,
        section="7.5",
    ),
    Architecture(
        name="bert",
        family="sequence",
        task="classification",
        builder="zoo.sequence.bert:bert",
        variants={
            "bert": Variant(1_759_106),
            "bert_tiny": Variant(4_385_920, arguments=_BERT),
            "bert_small": Variant(
                28_763_648, arguments=_BERT | {"width": 512, "depth": 4, "num_heads": 8}
            ),
            "bert_base": Variant(
                109_482_240, arguments=_BERT | {"width": 768, "depth": 12, "num_heads": 12}
            ),
            "bert_large": Variant(
                335_141_888, arguments=_BERT | {"width": 1024, "depth": 24, "num_heads": 16}
            ),
        },
        paper="BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        link="https://arxiv.org/abs/1810.04805",
        year=2018,
        section="7.5",
    ),
    Architecture(
        name="gpt",
        family="sequence",
        task="language_modeling",
        builder="zoo.sequence.gpt:gpt",
        variants={
            "gpt": Variant(2_737_920),
            "gpt2": Variant(
                124_439_808,
                arguments={
                    "vocabulary_size": 50_257,
                    "width": 768,
                    "depth": 12,
                    "num_heads": 12,
                    "max_length": 1024,
                },
            ),
        },
        paper="Language Models are Unsupervised Multitask Learners",
        link="https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf",
        year=2019,
        section="7.5",
    ),
    Architecture(
        name="gan",
        family="generative",
        task="generation",
        builder="zoo.generative.gan:gan",
        variants={
            "gan": Variant(1_486_352),
            "cgan": Variant(1_494_864, arguments=_DIGITS),
        },
        paper="Generative Adversarial Networks",
        link="https://arxiv.org/abs/1406.2661",
        year=2014,
        section="8.3",
    ),
    Architecture(
        name="gan_discriminator",
        family="generative",
        task="discrimination",
        builder="zoo.generative.gan:gan_discriminator",
        variants={
            "gan_discriminator": Variant(533_505),
            "cgan_discriminator": Variant(538_625, arguments=_DIGITS),
        },
        paper="Generative Adversarial Networks",
        link="https://arxiv.org/abs/1406.2661",
        year=2014,
        section="8.3",
    ),
    Architecture(
        name="dcgan",
        family="generative",
        task="generation",
        builder="zoo.generative.dcgan:dcgan",
        variants={
            "dcgan": Variant(759_680, 384),
            "cdcgan": Variant(960_704, 384, arguments=_DIGITS),
            "dcgan_32": Variant(1_068_928, 896, arguments=_MADE_32),
            "dcgan_64": Variant(3_576_704, 1_920, arguments=_MADE_64),
            "dcgan_64_wide": Variant(12_658_432, 3_840, arguments=_MADE_64 | {"width": 128}),
        },
        paper=_DCGAN,
        link="https://arxiv.org/abs/1511.06434",
        year=2015,
        section="8.3",
    ),
    Architecture(
        name="dcgan_discriminator",
        family="generative",
        task="discrimination",
        builder="zoo.generative.dcgan:dcgan_discriminator",
        variants={
            "dcgan_discriminator": Variant(138_624, 256),
            "dcgan_critic": Variant(138_368, arguments=_PLAIN),
            "dcgan_spectral": Variant(138_368, 193, arguments={"normalization": "spectral"}),
            "cdcgan_discriminator": Variant(139_904, 256, arguments=_DIGITS),
            "dcgan_32_discriminator": Variant(663_296, 768, arguments=_SEEN_32),
            "dcgan_32_critic": Variant(662_528, arguments=_SEEN_32 | _PLAIN),
            "dcgan_64_discriminator": Variant(2_765_568, 1_792, arguments=_SEEN_64),
            "dcgan_64_wide_discriminator": Variant(
                11_036_160, 3_584, arguments=_SEEN_64 | {"width": 128}
            ),
        },
        paper=_DCGAN,
        link="https://arxiv.org/abs/1511.06434",
        year=2015,
        section="8.3",
    ),
    Architecture(
        name="residual_gan",
        family="generative",
        task="generation",
        builder="zoo.generative.residual_gan:residual_gan",
        variants={
            "residual_gan": Variant(1_204_483, 1_792),
            "sngan": Variant(4_276_739, 3_584, arguments={"width": 256}),
        },
        paper="Improved Training of Wasserstein GANs",
        link="https://arxiv.org/abs/1704.00028",
        year=2017,
        section="8.3",
    ),
    Architecture(
        name="residual_critic",
        family="generative",
        task="discrimination",
        builder="zoo.generative.residual_gan:residual_critic",
        variants={
            "residual_critic": Variant(1_053_825),
            "sngan_discriminator": Variant(
                1_053_825, 1_281, arguments={"normalization": "spectral"}
            ),
            "sngan_projection": Variant(
                1_055_105, 1_409, arguments={"normalization": "spectral", "classes": 10}
            ),
        },
        paper="Improved Training of Wasserstein GANs",
        link="https://arxiv.org/abs/1704.00028",
        year=2017,
        section="8.3",
    ),
    Architecture(
        name="vae",
        family="generative",
        task="reconstruction",
        builder="zoo.generative.vae:vae",
        variants={
            "vae": Variant(815_824),
            "vae_conv": Variant(880_617, arguments={"filters": (32, 64), "hidden": (128,)}),
        },
        paper="Auto-Encoding Variational Bayes",
        link="https://arxiv.org/abs/1312.6114",
        year=2014,
        section="8.2",
    ),
    Architecture(
        name="dqn",
        family="control",
        task="control",
        builder="zoo.control.dqn:dqn",
        variants={
            "dqn": Variant(10_934, 8),
            "dqn_dueling": Variant(21_183, 8, arguments={"dueling": True}),
            "dqn_c51": Variant(19_434, 8, arguments={"atoms": 51}),
            "dqn_2013": Variant(
                677_172,
                arguments=_ATARI | {"convolutions": ((16, 8, 4), (32, 4, 2)), "hidden": (256,)},
            ),
            "dqn_nature": Variant(1_686_180, arguments=_NATURE),
            "dqn_nature_dueling": Variant(3_292_837, arguments=_NATURE | {"dueling": True}),
            "dqn_nature_c51": Variant(1_788_780, arguments=_NATURE | {"atoms": 51}),
            "dqn_minatar": Variant(
                132_566,
                arguments={
                    "input_shape": (10, 10, 4),
                    "actions": 6,
                    "observation": "bool",
                    "convolutions": ((16, 3, 1),),
                    "hidden": (128,),
                },
            ),
        },
        paper="Human-level control through deep reinforcement learning",
        link="https://doi.org/10.1038/nature14236",
        year=2015,
        section="8.4",
    ),
)

NAMES = index(ROWS)
