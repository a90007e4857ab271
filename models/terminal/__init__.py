"""The command line's shared parts: functions made into verbs, tables and JSON on stdout, notices and bars on stderr."""

from models.terminal.options import NEEDED, JsonOption, argument, count, fraction, number, option, seconds, seed, share
from models.terminal.output import Log, log, log_step, print_json, print_result, print_table, progress, table
from models.terminal.verbs import Family, Verb, verb

__all__ = [
    "NEEDED",
    "Family",
    "JsonOption",
    "Log",
    "Verb",
    "argument",
    "count",
    "fraction",
    "log",
    "log_step",
    "number",
    "option",
    "print_json",
    "print_result",
    "print_table",
    "progress",
    "seconds",
    "seed",
    "share",
    "table",
    "verb",
]
