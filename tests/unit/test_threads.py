import subprocess
import sys

CODE = """
import numpy
from models.serving.threads import blas_threads, limit_blas_threads
limit_blas_threads()
print(*blas_threads())
"""


def test_a_process_that_serves_multiplies_on_one_thread() -> None:
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True).stdout.split()
    assert told and set(told) == {"1"}
