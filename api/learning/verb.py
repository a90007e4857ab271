"""The process of a job: `triage VERB …`, which ends soon after the service for which it runs."""

from __future__ import annotations

import sys

from models.serving.orphans import end_with
from triage.__main__ import main

if __name__ == "__main__":
    end_with(int(sys.argv.pop(1)))
    sys.exit(main())
