"""Two Ray nodes on this machine, each a set of processes; a line on standard input kills the second, its end both."""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=1)
    say(f"address {nodes.address}")
    if sys.stdin.readline():
        nodes.remove_node(second, allow_graceful=False)
        say("killed")
        sys.stdin.read()
    nodes.shutdown()  # type: ignore[no-untyped-call]
