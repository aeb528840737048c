"""Two networks that learn against each other, an epoch at a time, in compiled updates."""

from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.adversarial.augmentation import augmented
from recipes.adversarial.losses import LOSSES
from recipes.adversarial.recipe import AdversarialRecipe
from recipes.recipe import made_optimizer
from zoo import surgery
from zoo.errors import InputError
from zoo.generative.parts import latent_of

# What an update is told of, in this order.
FIGURES = (
    "critic_loss",
    "generator_loss",
    "critic_gradient",
    "generator_gradient",
    "real_logit",
    "made_logit",
)
# What random numbers are for; seeds near these are augmentation's further ones.
_CODES, _AUGMENT_CRITIC, _MIX, _AUGMENT_GENERATOR = range(0, 32, 8)
_PURPOSES = 32


class AdversarialTrainer:
    """A generator, its critic, and their updates.

    Args:
        generator: from codes (and labels) to pictures in 0…1.
        discriminator: from pictures (and labels) to logits.
        recipe: how they learn.
        pictures: uint8 `(examples, height, width, channels)`.
        labels: int `(examples,)`; used by a conditional recipe.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        recipe: AdversarialRecipe,
        pictures: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        # It leaves out edges that order an update's reads and writes: equal updates differed.
        tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
        self.generator, self.discriminator, self.recipe = generator, discriminator, recipe
        self.pictures = tf.constant(pictures)
        self.labels = tf.constant(labels, tf.int32)
        self.loss = LOSSES[recipe.loss]
        self.latent = latent_of(generator)
        self.optimizers = [
            _optimizer(recipe, rate, network)
            for rate, network in (
                (recipe.learning_rate, generator),
                (recipe.critic_rate, discriminator),
            )
        ]
        self.average = [tf.Variable(variable.value) for variable in _floats(generator)]
        self.update = tf.Variable(0, dtype=tf.int64)  # of the critic, over all epochs
        # Moments of real pictures and of made ones differ: each kind is normalized by itself.
        self.apart = normalizes(discriminator)
        convolutions = any(
            isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
            for layer in [*generator.layers, *discriminator.layers]
        )
        # The convolutions of TensorFlow on CPU are faster than those of XLA.
        self._compiled = tf.function(
            self._updates,
            [tf.TensorSpec((None, recipe.critic_steps, recipe.batch_size), tf.int32)],
            jit_compile=not convolutions and not recipe.augment,
            autograph=False,
        )

    def learn(self, places: np.ndarray) -> dict[str, float]:
        """Do updates of both, and return the means of `FIGURES`.

        Args:
            places: int32 `(updates, critic_steps, batch)`, of the real pictures.
        """
        totals = self._compiled(tf.constant(places, tf.int32)).numpy()
        return dict(zip(FIGURES, (totals / len(places)).tolist(), strict=True))

    def averaged(self) -> keras.Model:
        """Return a copy of the generator with the weights that are kept, computing in float32."""
        result = surgery.with_precision(self.generator, "float32")
        if self.recipe.ema:
            for variable, mean in zip(_floats(result), self.average, strict=True):
                variable.assign(mean.numpy())
        return result

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that goes on from here, as arrays by name."""
        arrays = {"update": self.update.numpy()}
        for name, variables in self._variables().items():
            arrays |= {f"{name}/{i}": np.asarray(v) for i, v in enumerate(variables)}
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned.

        Raises:
            InputError: it is of other networks, or not whole.
        """
        try:
            self.update.assign(arrays["update"])
            for name, variables in self._variables().items():
                for i, variable in enumerate(variables):
                    variable.assign(arrays[f"{name}/{i}"])
        except (KeyError, ValueError):
            raise InputError("the saved state is damaged, or of other networks.") from None

    def _variables(self) -> dict[str, list[Any]]:
        return {
            "generator": self.generator.variables,
            "discriminator": self.discriminator.variables,
            "generator_optimizer": self.optimizers[0].variables,
            "discriminator_optimizer": self.optimizers[1].variables,
            "average": self.average,
        }

    def _updates(self, places: tf.Tensor) -> tf.Tensor:
        def one(number: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return number + 1, totals + self._both(places[number])

        nothing = (tf.constant(0), tf.zeros(len(FIGURES)))
        _, totals = tf.while_loop(lambda number, _: number < tf.shape(places)[0], one, nothing)
        return totals

    def _both(self, places: tf.Tensor) -> tf.Tensor:
        """Update the critic so often, then the generator; return the last figures of each."""
        recipe = self.recipe
        tape = tf.GradientTape()
        for number in range(recipe.critic_steps):
            labels = tf.gather(self.labels, places[number])
            real = tf.cast(tf.gather(self.pictures, places[number]), tf.float32) / 255
            codes = tf.random.stateless_normal((places.shape[-1], self.latent), self._seed(_CODES))
            # What the critic judged last, the generator learns from: it is made once.
            last = number == recipe.critic_steps - 1
            with tape if last else nullcontext():
                made = self._made(codes, labels)
            of_critic = self._update_critic(real, tf.stop_gradient(made), labels)
            self.update.assign_add(1)
        weights = self.generator.trainable_variables
        with tape:
            seen = augmented(made, recipe.augment, self._seed(_AUGMENT_GENERATOR))
            loss = self.loss.generator(self._judged(seen, labels))
            scaled = self.optimizers[0].scale_loss(loss)
        length = _apply(tape, scaled, weights, self.optimizers[0])
        if recipe.ema:
            done = tf.cast(self.update // recipe.critic_steps, tf.float32)
            # In the beginning an average over few: the first weights make no pictures.
            momentum = tf.minimum(recipe.ema, (1 + done) / (10 + done))
            for mean, variable in zip(self.average, _floats(self.generator), strict=True):
                mean.assign(momentum * mean + (1 - momentum) * variable.value)
        critic_loss, critic_gradient, real_logit, made_logit = of_critic
        return tf.stack(
            [critic_loss, loss, critic_gradient, length, real_logit,
             made_logit]
        )  # fmt: skip

    def _update_critic(
        self, real: tf.Tensor, made: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        recipe, weights = self.recipe, self.discriminator.trainable_variables
        seed = self._seed(_AUGMENT_CRITIC)
        real, made = augmented(real, recipe.augment, seed), augmented(made, recipe.augment, seed)
        with tf.GradientTape() as tape:
            if self.apart:
                of_real, of_made = self._judged(real, labels), self._judged(made, labels)
            else:
                both = self._judged(tf.concat([real, made], 0), tf.concat([labels, labels], 0))
                of_real, of_made = tf.split(both, 2)
            loss = self.loss.critic(of_real, of_made, recipe.label_smoothing)
            total = loss
            if recipe.gradient_penalty:
                share = tf.random.stateless_uniform((tf.shape(real)[0], 1, 1, 1), self._seed(_MIX))
                norms = self._slope(real + share * (made - real), labels)
                total += recipe.gradient_penalty * tf.reduce_mean((norms - 1) ** 2)
            if recipe.r1:
                total += recipe.r1 / 2 * tf.reduce_mean(self._slope(real, labels) ** 2)
            total = self.optimizers[1].scale_loss(total)
        length = _apply(tape, total, weights, self.optimizers[1])
        if recipe.clip_weights:
            for weight in weights:
                weight.assign(
                    tf.clip_by_value(weight.value, -recipe.clip_weights, recipe.clip_weights)
                )
        return (
            loss,
            length,
            tf.reduce_mean(of_real),
            tf.reduce_mean(of_made),
        )

    def _slope(self, pictures: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Return the norms of the critic's gradients at pictures in -1…1, as papers have them."""
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            logits = tf.reduce_sum(self._judged(pictures, labels))
        gradients = tape.gradient(logits, pictures) / 2  # a step of 1 there is one of 2 in -1…1
        return tf.sqrt(tf.reduce_sum(gradients**2, axis=(1, 2, 3)) + 1e-12)

    def _made(self, codes: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        told = {"code": codes, "label": labels} if self.recipe.conditional else codes
        return self.generator(told, training=True)

    def _judged(self, pictures: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        told = {"image": pictures, "label": labels} if self.recipe.conditional else pictures
        return self.discriminator(told, training=True)

    def _seed(self, purpose: int) -> tf.Tensor:
        """Return the seed of this update's random numbers for a purpose."""
        return tf.stack(
            [tf.constant(self.recipe.seed, tf.int64), self.update * _PURPOSES + purpose]
        )


def normalizes(network: keras.Model) -> bool:
    """Return whether a network's answer to an example depends on the others of its batch."""
    return any(isinstance(x, keras.layers.BatchNormalization) for x in network.layers)


def make(generator: keras.Model, codes: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Return pictures of codes.

    Args:
        generator: from codes (and labels) to pictures in 0…1.
        codes: float32 `(examples, latent)`.
        labels: int `(examples,)` for a conditional generator.

    Returns:
        uint8 `(examples, height, width, channels)`.
    """
    conditional = isinstance(generator.input, dict)
    inputs: Any = {"code": codes, "label": labels} if conditional else codes
    pictures = generator.predict(inputs, batch_size=500, verbose=0)
    return np.round(255 * pictures).astype("uint8")


def _floats(model: keras.Model) -> list[keras.Variable]:
    return [variable for variable in model.variables if "float" in variable.dtype]


def _optimizer(recipe: AdversarialRecipe, rate: float, network: keras.Model) -> keras.Optimizer:
    settings = {"learning_rate": rate, "beta_1": recipe.beta_1, "beta_2": recipe.beta_2}
    result = made_optimizer("adam", settings)
    if recipe.precision == "mixed_float16":  # small gradients would vanish
        result = keras.optimizers.LossScaleOptimizer(result)
    result.build(network.trainable_variables)
    return result


def _apply(
    tape: tf.GradientTape, loss: tf.Tensor, weights: list[Any], optimizer: keras.Optimizer
) -> tf.Tensor:
    """Update weights by the gradients of a scaled loss, and return the length of the true ones."""
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    scale = getattr(optimizer, "dynamic_scale", None)
    length = tf.linalg.global_norm(gradients) / (1.0 if scale is None else scale.value)
    optimizer.apply(gradients, weights)
    return length
