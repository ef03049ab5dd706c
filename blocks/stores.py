"""Where runs, models and artifacts are kept."""

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, SecretStr

__all__ = ["ArtifactStore", "TrackingStore"]


class TrackingStore(Block):
    """Where runs, metrics, models and stages are kept.

    The block named `default` configures every flow that has no setting of its own (`PREFECT_ML_STORE_URL`,
    `PREFECT_ML_ARTIFACT_ROOT`, `[tool.prefect_ml]` in `pyproject.toml`).

    Attributes:
        url: The SQLAlchemy URL of the store, SQLite or PostgreSQL. It is kept as a secret.
        artifacts: The folder or fsspec URL under which artifacts are kept.

    Example:
        Load a configured store:
        ```python
        from prefect_ml.blocks import TrackingStore

        store = TrackingStore.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Tracking Store"
    _block_type_slug = "tracking-store"

    url: SecretStr = Field(
        default=...,
        title="Store URL",
        description="The SQLAlchemy URL of the store, such as postgresql://user:password@host/database.",
    )
    artifacts: str = Field(
        default="",
        title="Artifact root",
        description="The folder or fsspec URL for artifacts, such as s3://bucket/path; empty means the default folder.",
    )


class ArtifactStore(Block):
    """Where artifacts are kept, and the credentials that reach them.

    Attributes:
        url: The folder or fsspec URL under which artifacts are kept.
        credentials: The options that the fsspec file system is opened with.

    Example:
        Load a configured artifact store:
        ```python
        from prefect_ml.blocks import ArtifactStore

        store = ArtifactStore.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Artifact Store"
    _block_type_slug = "artifact-store"

    url: str = Field(
        default=...,
        title="Artifact URL",
        description="The folder or fsspec URL for artifacts, such as s3://bucket/path.",
    )
    credentials: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        description="The options of the fsspec file system, such as key and secret for S3.",
    )
