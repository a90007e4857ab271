import subprocess
import sys

CODE = """
import numpy
from models.serving.threads import limit_blas_threads
from threadpoolctl import threadpool_info
limit_blas_threads()
print(*(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"))
"""


def test_a_process_that_serves_multiplies_on_one_thread() -> None:
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True).stdout.split()
    assert told and set(told) == {"1"}
