"""Two flows: one is deployed under another name."""

from prefect import flow


@flow
def nightly(n: int = 1) -> int:
    return n + 1


@flow(name="other")
async def other() -> None: ...


@flow.helper  # no flow
def third() -> None: ...
