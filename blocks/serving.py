"""Where models are served."""

from prefect.blocks.core import Block
from pydantic import Field

__all__ = ["ProcessServer"]


class ProcessServer(Block):
    """Serves models as processes of the host on which `prefect-ml agent` runs.

    Attributes:
        host: The address that the endpoints listen on.
        first_port: The first port that is tried for an endpoint.
        last_port: The last port that is tried for an endpoint.

    Example:
        Load a serving target:
        ```python
        from prefect_ml.blocks import ProcessServer

        target = ProcessServer.load("default")
        ```
    """

    _block_type_name = "Process Server"
    _block_type_slug = "process-server"

    host: str = Field(default="127.0.0.1", description="The address that the endpoints listen on.")
    first_port: int = Field(default=8100, ge=1, le=65535, description="The first port that is tried for an endpoint.")
    last_port: int = Field(default=8999, ge=1, le=65535, description="The last port that is tried for an endpoint.")
