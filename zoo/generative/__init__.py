"""Models that make pictures: generators, the networks that judge them, variational autoencoders."""
