"""Architectures for text and other sequences."""
