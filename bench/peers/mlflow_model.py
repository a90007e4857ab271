"""(b) The same pipeline as a model from code, for `mlflow models serve`; run as a script it saves itself."""

import os
import sys
from typing import Any

import mlflow
from heads import answers, heads


class Router(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Sentence vectors and linear heads."""

    def load_context(self, context: Any) -> None:
        from sentence_transformers import SentenceTransformer

        self.encoder = SentenceTransformer(os.environ["PEER_ENCODER"], device="cpu")
        self.by_target = heads("vectors")

    def predict(self, context: Any, model_input: list[str], params: Any = None) -> list[dict[str, Any]]:
        return answers(self.by_target, self.encoder.encode(list(model_input), show_progress_bar=False))


if __name__ == "__main__":
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "heads.py")
    mlflow.pyfunc.save_model(
        sys.argv[1], python_model=os.path.abspath(__file__), code_paths=[beside], pip_requirements=["mlflow"]
    )
else:
    mlflow.models.set_model(Router())
