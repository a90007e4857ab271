"""Exit 0 when the service at the given address is ready."""

import sys
import urllib.request

try:
    with urllib.request.urlopen(f"{sys.argv[1]}/readyz", timeout=2) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError:
    sys.exit(1)
