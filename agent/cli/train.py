"""`callmood train`: the local model made from recordings."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[Path, typer.Option(help="The folder of the recordings and their manifest.csv.")],
    out: Annotated[
        Path, typer.Option(help="Where the model goes; its checksum and MODEL_CARD.md go beside it.")
    ] = Path("weights.npz"),
    seed: Annotated[int, typer.Option(help="The same seed and recordings, the same file.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Where features are kept between runs; by default in the temporary folder.")
    ] = None,
) -> None:
    """Make the local model from labelled recordings: features, networks, calibration, model card."""
    import tempfile

    from ..errors import ConfigError
    from ..training.making import make

    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out} must be a file in a folder that exists.")
    kept = cache or Path(tempfile.gettempdir()) / "callmood-training"
    checksum, _ = make(data, out, seed, kept, print)
    print(f"{out} is made (sha256 {checksum}); what it can do is in {out.with_name('MODEL_CARD.md')}")
