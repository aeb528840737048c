"""Looking inside a model of pictures: what its filters are, and what in a picture it answers to.

Section 6.4 of the book. Every function takes a `keras.Model` as the zoo builds them (raw uint8
pictures in, preprocessing inside), leaves it as it is, and returns NumPy arrays.

Scores are what stands before the model's softmax or sigmoid: a saturated probability has no
gradient left to look at.
"""

from recipes.interpretation.attribution import grad_cam, occlusion, saliency
from recipes.interpretation.maps import activation_maps, first_layer_filters
from recipes.interpretation.maximization import activation_maximization
from recipes.interpretation.networks import spatial_layers

__all__ = [
    "activation_maps",
    "activation_maximization",
    "first_layer_filters",
    "grad_cam",
    "occlusion",
    "saliency",
    "spatial_layers",
]
