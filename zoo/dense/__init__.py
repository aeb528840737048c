"""Dense architectures: linear models, multilayer perceptrons, autoencoders."""
