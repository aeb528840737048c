"""How models leave Python: export, and proof that what left answers alike.

Importing this package imports neither Keras nor TensorFlow, so that the process that runs a LiteRT
file needs neither.
"""

from export.benchmarking import Measured, benchmark
from export.choosing import Budget, Choice, export_within
from export.exporting import Artifact, export
from export.parity import check, verify
from zoo.cards import ParityReport

__all__ = [
    "Artifact",
    "Budget",
    "Choice",
    "Measured",
    "ParityReport",
    "benchmark",
    "check",
    "export",
    "export_within",
    "verify",
]
