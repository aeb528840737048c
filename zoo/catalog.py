"""The whole zoo as one table. Reading it imports no Keras."""

from zoo.registry import Architecture, Variant, index

# Inputs and outputs of the two collections of pictures that most vision models were made for.
_CIFAR = {"input_shape": (32, 32, 3), "classes": 10}
_IMAGENET = {"input_shape": (224, 224, 3), "classes": 1000}
_VIT_TI = {"width": 192, "depth": 12, "num_heads": 3}
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
)

NAMES = index(ROWS)
