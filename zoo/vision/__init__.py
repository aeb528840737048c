"""Convolutional architectures for images."""
