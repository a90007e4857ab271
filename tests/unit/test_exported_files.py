"""Files that are exported tell nothing of the machine that made them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import models.screening
from training.encoders.onnx_export import without_traces

SHIPPED = Path(models.screening.__file__).parent / "data" / "encoder.onnx"


@pytest.mark.parametrize("trace", [b"site-packages", b"onnx_export.py", b"pkg.torch.onnx.stack_trace"])
def test_the_shipped_classifier_names_no_folder_and_no_source_line(trace: bytes) -> None:
    assert trace not in SHIPPED.read_bytes()


def test_what_the_exporter_notes_is_taken_out_and_the_graph_stays(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["a", "a"], ["b"], name="add", doc_string="File somewhere/model.py, line 7")
    node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File somewhere/model.py, line 7")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("a", "b")]
    values[0].doc_string = "somewhere/model.py"
    graph = helper.make_graph([node], "graph", values[:1], values[1:], doc_string="somewhere/model.py")
    file = tmp_path / "encoder.onnx"
    onnx.save(helper.make_model(graph, producer_name="tests", doc_string="somewhere/model.py"), file)
    without_traces(file)
    assert b"model.py" not in file.read_bytes()
    assert [(one.op_type, list(one.input), list(one.output)) for one in onnx.load(file).graph.node] == [
        ("Add", ["a", "a"], ["b"])
    ]
