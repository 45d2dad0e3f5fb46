"""One page of numbers for all workers: every sample says whose it is. Sums would seem to fall, and rates to jump,
whenever a worker is started again."""

from collections.abc import Iterator, Mapping

RESTARTS = (
    "# HELP callmood_worker_restarts_total How often the worker in this place had to be started again.\n"
    "# TYPE callmood_worker_restarts_total counter\n"
    "callmood_worker_restarts_total {count}\n"
)
UP = (
    "# HELP callmood_worker_up 1: the worker has said its numbers; 0: it is away, and its numbers are missing here.\n"
    "# TYPE callmood_worker_up gauge\n"
)


def together(pages: Mapping[int, bytes], count: int) -> bytes:
    """The pages of so many workers, by their places, as one in Prometheus's text format."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for slot, page in sorted(pages.items()):
        family = ""
        for line in page.decode().splitlines():
            if line.startswith("#"):
                family = line.split(" ", 3)[2]
                known = heads.setdefault(family, [])
                if line not in known and len(known) < 2:
                    known.append(line)
            elif line:
                samples.setdefault(family, []).append(marked(line, slot))
    lines = list(_lines(heads, samples))
    up = [f'callmood_worker_up{{worker="{slot}"}} {int(slot in pages)}' for slot in range(count)]
    return ("\n".join([*lines, UP + "\n".join(up)]) + "\n").encode()


def _lines(heads: Mapping[str, list[str]], samples: Mapping[str, list[str]]) -> Iterator[str]:
    for family, head in heads.items():
        yield from head
        yield from samples.get(family, ())


def marked(sample: str, slot: int) -> str:
    """A sample with the worker's place as its first label."""
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{slot}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{slot}"}} {value}'
