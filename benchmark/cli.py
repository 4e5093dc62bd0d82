"""Commands about what the data is."""

import json
from itertools import islice
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchmark.architectures import Architecture, Layer
    from benchmark.imagesets import ImageSet
    from benchmark.sequence import Drawn

SHORT_KINDS = {"max_pool": "max", "avg_pool": "avg"}  # in drawings


@click.command()
@click.option("--skeleton", default="peephole-3x2", show_default=True, help="Frame of the blocks.")
@click.option("--images", default="cifar10", show_default=True, help="Image set to be trained on.")
@click.option(
    "-n", "--number", default=5, show_default=True, type=click.IntRange(min=1), help="How many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def sample(skeleton: str, images: str, number: int, as_json: bool) -> None:
    """Draw the first architectures of a skeleton, as the dataset does.

    A line of a drawing is a stage, named by its width; `|` parts its blocks. `conv3x5:24` is a
    convolution with a kernel 3 high and 5 wide and 24 output channels.
    """
    from benchmark.imagesets import get_images
    from benchmark.sequence import sequence

    image_set = get_images(images)
    for drawn in islice(sequence(skeleton, image_set), number):
        record = _record(drawn, image_set)
        click.echo(json.dumps(record) if as_json else _drawing(drawn, record))


def _record(drawn: "Drawn", images: "ImageSet") -> dict[str, object]:
    """Return an accepted architecture in the columns of a run, as far as it has them."""
    from benchmark.architectures import to_record
    from benchmark.walk import macs, parameters, walk

    rows = walk(drawn.architecture, images)
    return {
        "architecture_id": drawn.architecture_id,
        "draw_index": drawn.draw_index,
        "paired_architecture_id": drawn.paired_architecture_id,
        "skeleton": drawn.architecture.skeleton,
        "images": images.name,
        "split": drawn.split,
        "parameters": parameters(rows),
        "macs": macs(rows),
        "architecture": to_record(drawn.architecture),
    }


def _drawing(drawn: "Drawn", record: dict[str, object]) -> str:
    """Return a title line and a line for every stage."""
    title = (
        f"{drawn.architecture_id}  {drawn.split}  {record['parameters']:,} parameters  "
        f"{record['macs']:,} MACs"
    )
    return "\n".join([title, *_stage_lines(drawn.architecture)])


def _stage_lines(architecture: "Architecture") -> list[str]:
    """Return a line for every stage: its width, and its blocks parted by bars."""
    blocks = [" ".join(map(_word, block.layers)) for block in architecture.blocks]
    per_stage = len(blocks) // len(architecture.widths)
    return [
        f"{width:5}  " + " | ".join(blocks[stage * per_stage : (stage + 1) * per_stage])
        for stage, width in enumerate(architecture.widths)
    ]


def _word(layer: "Layer") -> str:
    """Return a layer as one word."""
    if layer.kind == "conv":
        return f"conv{layer.kernel_height}x{layer.kernel_width}:{layer.channels}"
    if layer.kind in SHORT_KINDS:
        return f"{SHORT_KINDS[layer.kind]}{layer.kernel_height}x{layer.kernel_width}"
    return layer.kind
