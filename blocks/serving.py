"""Where models are served."""

from prefect.blocks.core import Block

__all__ = ["ProcessServer"]


class ProcessServer(Block):
    """Serves models as processes of the host on which `prefect-ml agent` runs.

    It needs no configuration: the agent finds free ports by itself, and keeps one for each model and stage.

    Example:
        Load a serving target:
        ```python
        from prefect_ml.blocks import ProcessServer

        target = ProcessServer.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Process Server"
    _block_type_slug = "process-server"
