"""The verbs of this wing, as the `triage` command finds them."""

from training.commands.cold import extend, start
from training.commands.history import data
from training.commands.learn import evaluate, report, train
from training.commands.policies import policy
from training.commands.registry import models, promote, pull, register, rollback
from training.commands.route import predict, rules, score

__all__ = [
    "data",
    "evaluate",
    "extend",
    "models",
    "policy",
    "predict",
    "promote",
    "pull",
    "register",
    "report",
    "rollback",
    "rules",
    "score",
    "start",
    "train",
]
