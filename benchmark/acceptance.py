"""How many sampled architectures stay under their skeleton's cap of multiply-accumulates."""

from functools import lru_cache
from itertools import islice

from benchmark.imagesets import IMAGES
from benchmark.sequence import sequence
from benchmark.skeletons import SKELETONS

DRAWS = 500


@lru_cache(maxsize=4)
def acceptance_rates(sequence_name: str) -> dict[str, float]:
    """Return the accepted share of the first draws, by skeleton, paired ones left out."""
    images = next(i for i in IMAGES.values() if i.sequence.name == sequence_name)
    rates = {}
    for name, skeleton in SKELETONS.items():
        if skeleton.paired_with is None:
            accepted = drawn = 0
            for entry in islice(sequence(name, images), DRAWS):
                if drawn + entry.attempts > DRAWS:
                    break
                accepted, drawn = accepted + 1, drawn + entry.attempts
            rates[name] = accepted / drawn
    return rates
