"""`/v2`: the Open Inference Protocol (KServe V2, MLServer, Triton), for callers that speak nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Decider, Reader, ServiceDep
from api.http.exceptions import NotAcceptable, NotFound
from api.http.openapi import PROBLEMS, problems
from api.http.reception import Received, to_ticket
from api.http.schemas import MAX_BATCH_TICKETS, MAX_NAME_CHARS, Text, TicketIn
from api.security.auth import GuardedRoute
from models.home import DEFAULT_MODEL
from models.wire import DecisionDocument

router = APIRouter(prefix="/v2", tags=["inference"], route_class=GuardedRoute)

_INPUTS = ("text", "subject", "id")
_OUTPUTS = ("decision_id", "tier", "category", "resolver_group", "automation", "reason")
Bytes = Literal["BYTES"]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_BATCH_TICKETS)]


class InputTensor(BaseModel):
    """One column of a request: a text for each ticket."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["text", "subject", "id"]
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=2)]
    datatype: Bytes
    parameters: dict[str, Any] | None = None
    data: Texts


class OutputWanted(BaseModel):
    """A column that is wanted in the answer."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["decision_id", "tier", "category", "resolver_group", "automation", "reason"]
    parameters: dict[str, Any] | None = None


class InferenceIn(BaseModel):
    """A request: the input `text`, and where wanted `subject` and `id`, each with one text a ticket."""

    model_config = ConfigDict(extra="forbid", title="InferenceRequest")

    id: Text | None = None
    parameters: dict[str, Any] | None = None
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=len(_INPUTS))]
    outputs: Annotated[list[OutputWanted], Field(max_length=len(_OUTPUTS))] | None = Field(
        None, description="the columns of the answer; all of them where none is named"
    )


class OutputTensor(BaseModel):
    """One column of an answer; what nothing is named for is an empty text."""

    name: str
    shape: list[int]
    datatype: Bytes
    data: list[str]


class InferenceOut(BaseModel):
    """An answer: one column for each part of the route, in the order of the tickets."""

    model_config = ConfigDict(title="InferenceResponse", protected_namespaces=())

    model_name: str
    model_version: str | None
    id: str | None
    outputs: list[OutputTensor]


class TensorInfo(BaseModel):
    """Name, type and shape of a column; -1 stands for any number of tickets."""

    name: str
    datatype: Bytes
    shape: list[int]


class ModelInfo(BaseModel):
    """What the model takes and answers."""

    model_config = ConfigDict(title="InferenceModel")

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class Ready(BaseModel):
    """Whether the model is in use."""

    name: str
    ready: bool


@router.get("/models/{model}", responses=problems(401, 403, 404, 422))
def info(model: str, service: ServiceDep, reader: Reader) -> ModelInfo:
    """Say what the model takes and answers."""
    _check_name(model)
    version = service.model.triager.model_version
    return ModelInfo(
        name=DEFAULT_MODEL,
        versions=[version] if version else [],
        platform="helpdesk-triage",
        inputs=[TensorInfo(name=name, datatype="BYTES", shape=[-1]) for name in _INPUTS],
        outputs=[TensorInfo(name=name, datatype="BYTES", shape=[-1]) for name in _OUTPUTS],
    )


@router.get("/models/{model}/ready", responses={**problems(401, 403, 404), **problems(422, 503)})
def ready(model: str, service: ServiceDep, reader: Reader, response: Response) -> Ready:
    """Say whether the model is in use: 200, else 503."""
    _check_name(model)
    is_ready = service.unready is None
    response.status_code = 200 if is_ready else 503
    return Ready(name=DEFAULT_MODEL, ready=is_ready)


@router.post("/models/{model}/infer", responses={**PROBLEMS, **problems(404)})
async def infer(model: str, payload: InferenceIn, service: ServiceDep, caller: Decider) -> InferenceOut:
    """Decide tickets that come as columns, and answer as columns: those that are asked for, or all."""
    _check_name(model)
    tickets = _tickets(payload, service.settings.max_text_chars)
    documents = await service.decide(tickets, caller, bulk=len(tickets) > 1, explain=False)
    return InferenceOut(
        model_name=DEFAULT_MODEL,
        model_version=service.model.triager.model_version,
        id=payload.id,
        outputs=[_column(name, documents) for name in _wanted(payload)],
    )


def _wanted(payload: InferenceIn) -> list[str]:
    """Return the names of the columns to answer with, each once."""
    return list(dict.fromkeys(one.name for one in payload.outputs or ())) or list(_OUTPUTS)


def _check_name(model: str) -> None:
    if model != DEFAULT_MODEL:
        raise NotFound("no-such-model", f"there is no such model: it is called {DEFAULT_MODEL}")


def _tickets(payload: InferenceIn, max_text_chars: int) -> list[Received]:
    columns = {one.name: one.data for one in payload.inputs}
    if "text" not in columns or len({len(one) for one in columns.values()}) != 1 or len(columns) < len(payload.inputs):
        raise NotAcceptable(
            "columns",
            f"inputs: text is needed, the others of {', '.join(_INPUTS)} may be left out; each name once, and in each "
            "as many texts as there are tickets",
            "inputs",
        )
    for column in payload.inputs:
        if column.shape not in ([len(column.data)], [len(column.data), 1]):
            raise NotAcceptable(
                "shape",
                f"inputs: the shape of {column.name} is not that of its data: state [n], or [n, 1], for n texts",
                "inputs",
            )
    rows = zip(*([*columns[name]] for name in columns), strict=True)
    names = ["body" if name == "text" else name for name in columns]
    return [to_ticket(_ticket(dict(zip(names, row, strict=True))), max_text_chars) for row in rows]


def _ticket(stated: dict[str, str]) -> TicketIn:
    if len(stated.get("id", "")) > MAX_NAME_CHARS:
        raise NotAcceptable(
            "id-too-long",
            f"inputs: an id has more than {MAX_NAME_CHARS} characters, and two could be told apart by nothing if they "
            "were cut: send shorter ones",
            "inputs",
        )
    return TicketIn.model_validate(stated)


def _column(name: str, documents: list[DecisionDocument]) -> OutputTensor:
    data = [getattr(document, name) or "" for document in documents]
    return OutputTensor(name=name, shape=[len(data)], datatype="BYTES", data=data)
