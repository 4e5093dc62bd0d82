"""Plans networks that are in no release, on which maintainers try submitted code."""

from collections.abc import Iterable
from itertools import islice

from benchmark.manifest import released_splits
from benchmark.recipes import RECIPES
from benchmark.release import Release
from benchmark.space.imagesets import Quota, get_images
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from benchmark.util.text import quantity
from generators.campaign.plan import plan_run, quota_of, scale_quota, spread
from generators.workers.planned_run import PlannedRun

SECRET_LENGTH = 16  # fewest characters of the word from which networks are drawn


def make_fresh_plan(
    image_names: Iterable[str], networks: int, secret: str, release: Release
) -> list[PlannedRun]:
    """Return one run of each of about `networks` networks that a release does not have.

    They have the shares of the networks on which predictors are scored: seen skeletons as in
    `test`, whichever split an id belongs to, and held-out ones.

    Args:
        image_names: The image sets; each gets its own networks.
        networks: Approximate number for each image set.
        secret: Key of the random streams; who knows it can draw the same networks.
        release: The release, all of whose architectures are left out.

    Raises:
        ValueError: If an image set is not known, or the secret is short.
    """
    if len(secret) < SECRET_LENGTH:
        raise ValueError(
            f"a secret word of {quantity(len(secret), 'character')} must have at least "
            f"{SECRET_LENGTH}, as `openssl rand -hex 16` prints"
        )
    known = released_architectures(release)
    groups = []
    for name in dict.fromkeys(image_names):
        images = get_images(name)
        quota = scale_quota(Quota(0, 0, images.quota.test, images.quota.heldout), networks)
        for skeleton in SKELETONS.values():
            count = sum(quota_of(skeleton, quota).values())
            drawn = sequence(skeleton.name, images, purpose=f"fresh:{secret}")
            new = (d for d in drawn if not known & {d.architecture_id, d.drawn_architecture_id})
            groups.append([plan_run(d, images, RECIPES[name], 0) for d in islice(new, count)])
    return spread(groups)


def released_architectures(release: Release) -> set[str]:
    """Return the ids of all architectures of a release, as trained and as drawn."""
    known: set[str] = set()
    columns = ["architecture_id", "drawn_architecture_id"]
    for images, split in released_splits(release.folder):
        for column in release.runs(images, split, columns=columns).columns:
            known.update(column.to_pylist())
    return known
