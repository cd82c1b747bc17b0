"""The backend `static`: parameter sets from YAML or JSON files, picked by the input."""

from backends.bundle import Kind
from backends.static.backend import StaticBackend
from backends.static.config import schema

KIND = Kind(
    name="static",
    summary="Parameter sets from YAML or JSON files, picked by the input.",
    open=StaticBackend.open,
    schema=schema,
)

__all__ = ["KIND", "StaticBackend"]
