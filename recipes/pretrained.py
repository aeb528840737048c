"""The recipes of the packaged models, one for each."""

from recipes.recipe import Recipe
from zoo.cards import Reference
from zoo.registry import unknown

_BOOK = "The Mathematical Engineering of Deep Learning"

RECIPES = {
    "softmax-mnist": Recipe(
        model="softmax",
        data="mnist",
        optimizer="adam",
        learning_rate=0.02,
        schedule="cosine",
        batch_size=2000,
        epochs=40,
        weight_decay=1e-3,
        reference=Reference(metric="accuracy", value=0.9221, source=f"{_BOOK}, Table 3.1"),
    ),
    "mlp-mnist": Recipe(
        model="mlp_book",
        data="mnist",
        arguments={"dropout": 0.2},
        learning_rate=2e-3,
        schedule="one_cycle",
        epochs=25,
        augment={"crop": 1},
        reference=Reference(
            metric="accuracy", value=0.9781, source=f"{_BOOK}, course, Practical 4 (784-128-64-10)"
        ),
    ),
    "lenet5-mnist": Recipe(
        model="lenet5",
        data="mnist",
        learning_rate=3e-3,
        schedule="one_cycle",
        epochs=20,
        augment={"crop": 2},
        weight_decay=1e-3,
        optimizer="adamw",
        reference=Reference(metric="accuracy", value=0.9905, source="LeCun et al. 1998, Figure 9"),
    ),
    "lenet5-fashion": Recipe(
        model="lenet5",
        data="fashion_mnist",
        learning_rate=3e-3,
        schedule="one_cycle",
        epochs=30,
        augment={"crop": 1, "flip": 0.5},
        weight_decay=1e-3,
        optimizer="adamw",
        ema=0.999,
        reference=Reference(
            metric="accuracy",
            value=0.916,
            source="zalandoresearch/fashion-mnist, 2 conv + pooling (self-reported)",
        ),
    ),
    "convnet-mnist": Recipe(
        model="convnet",
        data="mnist",
        examples=5000,
        learning_rate=5e-3,
        schedule="cosine",
        batch_size=100,
        epochs=30,
        reference=Reference(
            metric="accuracy", value=0.9628, source=f"{_BOOK}, course, Unit 5 (5,000 images)"
        ),
    ),
    "mlp-mnist5k": Recipe(
        model="mlp_unit5",
        data="mnist",
        examples=5000,
        learning_rate=5e-3,
        schedule="cosine",
        batch_size=100,
        epochs=30,
        reference=Reference(
            metric="accuracy", value=0.9366, source=f"{_BOOK}, course, Unit 5 (5,000 images)"
        ),
    ),
    "resnet20-fashion": Recipe(
        model="resnet20",
        data="fashion_mnist",
        optimizer="sgd",
        learning_rate=0.15,
        schedule="one_cycle",
        epochs=20,
        augment={"crop": 2, "flip": 0.5},
        weight_decay=5e-3,
        precision="mixed_bfloat16",
        reference=Reference(
            metric="accuracy",
            value=0.949,
            source="zalandoresearch/fashion-mnist, ResNet-18 (self-reported)",
        ),
    ),
    "resnet20-cifar10": Recipe(
        model="resnet20",
        data="cifar10",
        data_options={"validation": 500},
        optimizer="sgd",
        learning_rate=0.1,
        schedule="one_cycle",
        epochs=150,
        augment={"crop": 4, "flip": 0.5, "erase": 0.3},
        weight_decay=5e-3,
        precision="mixed_bfloat16",
        keep="last",
        reference=Reference(
            metric="accuracy",
            value=0.9125,
            source="He et al. 2015, Table 6 (not through a JPEG)",
        ),
    ),
    "inception-cifar10": Recipe(
        model="inception_half",
        data="cifar10",
        optimizer="sgd",
        learning_rate=0.1,
        schedule="one_cycle",
        epochs=30,
        augment={"crop": 4, "flip": 0.5},
        weight_decay=5e-3,
        precision="mixed_bfloat16",
    ),
    "vit-fashion": Recipe(
        model="vit",
        data="fashion_mnist",
        optimizer="adamw",
        learning_rate=2e-3,
        schedule="cosine",
        warmup=0.1,
        weight_decay=0.05,
        clip_norm=1.0,
        label_smoothing=0.1,
        epochs=45,
        augment={"crop": 1, "flip": 0.5},
        precision="mixed_bfloat16",
    ),
    "efficientnet_lite0-flowers": Recipe(
        model="efficientnet_lite0-imagenet",
        data="flowers",
        fine_tuning=True,
        train_normalization=True,
        arguments={"input_shape": [192, 192, 3]},
        optimizer="adamw",
        learning_rate=1e-3,
        schedule="one_cycle",
        batch_size=32,
        head_epochs=1,
        head_learning_rate=3e-3,
        epochs=14,
        weight_decay=0.05,
        label_smoothing=0.1,
        ema=0.99,
        augment={"crop": 18, "flip": 0.5, "randaugment": 5, "mixup": 0.2},
        keep="last",
    ),
    "autoencoder-mnist": Recipe(
        model="autoencoder",
        data="mnist",
        arguments={"activation": "relu"},
        loss="binary_crossentropy",
        learning_rate=3e-3,
        schedule="one_cycle",
        batch_size=256,
        epochs=40,
        reference=Reference(
            metric="mse",
            value=0.017688,
            source="30 principal components of the same split, benchmarks/results/pca.csv",
        ),
    ),
    "lstm-shakespeare": Recipe(
        model="lstm_language_model",
        data="tiny_shakespeare",
        arguments={"dropout": 0.2},
        max_length=64,
        batch_size=32,
        learning_rate=3e-3,
        schedule="cosine",
        warmup=0.02,
        clip_norm=1.0,
        epochs=7,
    ),
    "lstm-polarity": Recipe(
        model="bilstm_classifier",
        data="polarity",
        arguments={"dropout": 0.5},
        max_length=64,
        batch_size=64,
        epochs=8,
        patience=3,
    ),
    "logistic-breast_cancer": Recipe(
        model="logistic",
        data="breast_cancer",
        learning_rate=0.02,
        schedule="cosine",
        weight_decay=1e-3,
        batch_size=64,
        epochs=100,
    ),
    "linear-diabetes": Recipe(
        model="linear",
        data="diabetes",
        optimizer="adam",
        learning_rate=0.03,
        schedule="cosine",
        batch_size=64,
        epochs=200,
        keep="last",
    ),
}


def recipe_of(name: str) -> Recipe:
    """Return the recipe of a packaged model.

    Raises:
        InputError: there is none of that name; the nearest ones are given.
    """
    if name not in RECIPES:
        raise unknown(name, RECIPES, "recipe")
    return RECIPES[name]
