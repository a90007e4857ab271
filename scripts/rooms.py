"""The former name of architecture.py."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("architecture.py")), run_name="__main__")
