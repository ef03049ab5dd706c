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

    The credentials of the block named `default` open every artifact below its URL, unless
    `PREFECT_ML_STORAGE_OPTIONS` says otherwise.

    Attributes:
        url: The folder or fsspec URL under which artifacts are kept.
        credentials: The options that the fsspec file system is opened with. They are kept as a secret.

    Example:
        Load a configured artifact store, and look at what it holds:
        ```python
        from prefect_ml.blocks import ArtifactStore

        store = ArtifactStore.load("BLOCK_NAME")
        store.list_files()
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
        title="Credentials",
        description=(
            "The options of the fsspec file system as a JSON object; for S3 key, secret and, where it is not Amazon's,"
            " endpoint_url. Empty means what the environment offers."
        ),
    )

    def list_files(self, path: str = "") -> list[str]:
        """Give the paths of all artifacts below `path`, sorted; so that a configuration can be tried.

        Raises:
            ArtifactError: The URL cannot be reached with these credentials, or `path` leads out of it.
        """
        from ..store.artifacts import join, list_files

        return list_files(join(self.url, path), options=self.credentials.get_secret_value())
