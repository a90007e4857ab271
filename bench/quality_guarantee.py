"""How often a gate breaks its promise in a thousand populations with known risk, by method."""

from __future__ import annotations

from models.terminal import table
from training.diagnostics.simulated_populations import METHODS, simulate


def main() -> None:
    for risk in (0.05, 0.10):
        for tickets in (500, 2000, 4000):
            found = simulate(METHODS, populations=1000, tickets=tickets, risk=risk, delta=0.05, seed=1)
            print(f"\ntarget risk {risk}, {tickets} calibration tickets, 1000 populations")
            rows = [[name, one.violations, one.coverage, one.silent] for name, one in found.items()]
            print(table(["method", "risk exceeded", "coverage", "kept nothing"], rows))


if __name__ == "__main__":
    main()
