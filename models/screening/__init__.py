"""The learned half of screening: a small classifier that travels with the code, beside the written cues."""

from models.screening.classifier import ScreeningClassifier, shipped_classifier

__all__ = ["ScreeningClassifier", "shipped_classifier"]
