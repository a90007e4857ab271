"""How often a gate breaks its promise in a thousand populations with known risk, by method."""

from __future__ import annotations

from training.diagnostics.simulated_populations import METHODS, simulate
from training.terminal import say, table


def main() -> None:
    for risk in (0.05, 0.10):
        for tickets in (500, 2000, 4000):
            found = simulate(METHODS, populations=1000, tickets=tickets, risk=risk, delta=0.05, seed=1)
            say(f"\ntarget risk {risk}, {tickets} calibration tickets, 1000 populations")
            rows = [[name, one.violations, one.coverage, one.silent] for name, one in found.items()]
            say(table(["method", "risk exceeded", "coverage", "kept nothing"], rows))


if __name__ == "__main__":
    main()
