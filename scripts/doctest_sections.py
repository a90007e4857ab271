"""Let the Python reference show `Example:` sections as code: griffe knows the plural heading only."""

import re
from typing import Any

from griffe import Extension, Object


class ExampleSections(Extension):
    """Reads the singular heading as the plural one."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rename the heading in one docstring; griffe calls this."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^(\s*)Example:$", r"\1Examples:", obj.docstring.value)
