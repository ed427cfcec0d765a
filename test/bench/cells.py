# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: the cells of the matrix, and the bounds that --check holds."""

import dataclasses

SIZES = (64, 128, 256, 512, 1024, 1518, 4096, 9000, 64000)
# Descriptors of a frame as a Linux guest lays it out: buffers of 2 KB.
DESCRIPTORS = {4096: 3, 9000: 6, 64000: 32}
WALK_MIB = 256              # more than the last-level cache share of a core
MTU_PLAIN = 1518


@dataclasses.dataclass(frozen=True)
class Cell:
    """One thing measured with every peer.

    way: out (guest to NIC), in (NIC to guest), guests (guest to guest), both (out and in).
    Frames and cycles are those of the switch's core.
    """

    way: str
    size: int
    desc: int = 1           # descriptors of a frame from the guest
    walk: int = 0           # MiB that the guest's buffers are spread over, 0: few and in cache
    bufsize: int = 2048     # of the receiving guest
    queues: int = 1
    ports: int = 1          # guest ports, of which one is busy
    header: int = 0         # bytes that zcnet copies into a segment of its own

    @property
    def name(self):
        parts = [self.way, str(self.size)]
        if self.desc > 1:
            parts[1] += f'x{self.desc}'
        if self.bufsize != 2048:
            parts.append(f'buf{self.bufsize}')
        if self.walk:
            parts.append('cold')
        if self.queues > 1:
            parts.append(f'q{self.queues}')
        if self.ports > 1:
            parts.append(f'p{self.ports}')
        if self.header:
            parts.append(f'h{self.header}')
        return '/'.join(parts)


def _out(sizes, **more):
    return [Cell('out', s, desc=DESCRIPTORS.get(s, 1), **more) for s in sizes]


def _in(sizes, **more):
    return [Cell('in', s, **more) for s in sizes]


def quick():
    """What the bounds of --check ask for."""
    return _out((64, 1518, 9000)) + _in((64, 1518))


def full():
    cells = _out(SIZES)
    cells += [Cell('out', s) for s in DESCRIPTORS]
    cells += _out(SIZES, walk=WALK_MIB)
    cells += _out((512, 1518, 4096, 9000, 64000), header=64)
    cells += _out((64, 1518), queues=2)
    cells += _in((64, 128, 256, 512, 1024, 1518))
    cells += _in((64, 512, 1518), walk=WALK_MIB)
    cells += _in((512, 1518, 4096, 9000), bufsize=10240)
    cells += _in((64, 1518), queues=2)
    cells += [Cell('guests', s) for s in (64, 512, 1518)]
    cells += [Cell('guests', 9000, bufsize=10240)]
    cells += [Cell('both', s) for s in (64, 1518)]
    cells += [Cell('out', 64, ports=n) for n in (8, 64, 256)]
    return cells


@dataclasses.dataclass(frozen=True)
class Bound:
    """peer's cycles a frame over beside's in a cell are at most most."""

    cell: str
    most: float
    peer: str = 'zcnet'
    beside: str = 'testpmd'


CHECKED = (
    Bound('out/64', 0.80),
    Bound('out/1518', 0.40),
    Bound('out/9000x6', 0.25),
    Bound('in/64', 0.50),
    Bound('in/1518', 0.30),
)
