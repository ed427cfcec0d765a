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

    way: out (guest to NIC), in (NIC to guest), guests (guest to guest), both (out and in), trip (guest
    to a NIC that gives its frames back, and home). Frames and cycles are those of the switch's core.
    """

    way: str
    size: int
    desc: int = 1           # descriptors of a frame from the guest
    walk: int = 0           # MiB that the guest's buffers are spread over, 0: few and in cache
    bufsize: int = 2048     # of the receiving guest
    queues: int = 1
    ports: int = 1          # guest ports, of which one is busy
    header: int = 0         # bytes that zcnet copies into a segment of its own
    ring: str = ''          # of guests.RING_KINDS
    half: bool = False      # at half the frames a second that the first peer managed in the cell without
    irq: bool = False       # the guest waits for interrupts

    @property
    def name(self):
        parts = [self.way, str(self.size)]
        if self.desc > 1:
            parts[1] += f'x{self.desc}'
        if self.bufsize != 2048:
            parts.append(f'buf{self.bufsize}')
        marks = (('cold', self.walk), (f'q{self.queues}', self.queues > 1), (f'p{self.ports}', self.ports > 1),
                 (f'h{self.header}', self.header), (self.ring, self.ring), ('half', self.half), ('irq', self.irq))
        return '/'.join(parts + [text for text, there in marks if there])

    def whole(self):
        """The cell that half is the half of."""
        return dataclasses.replace(self, half=False, irq=False)


def _out(sizes, **more):
    return [Cell('out', s, desc=DESCRIPTORS.get(s, 1), **more) for s in sizes]


def _in(sizes, **more):
    return [Cell('in', s, **more) for s in sizes]


def full():
    cells = _out(SIZES)
    cells += [Cell('out', s) for s in DESCRIPTORS]
    cells += _out(SIZES, walk=WALK_MIB)
    cells += _out((512, 1518, 4096, 9000, 64000), header=64)
    cells += [Cell('out', s, ring=r) for r in ('table', 'hdr', 'plain') for s in (64, 1518)]
    cells += _out((64, 1518), queues=2)
    cells += _in((64, 128, 256, 512, 1024, 1518))
    cells += _in((64, 512, 1518), walk=WALK_MIB)
    cells += _in((512, 1518, 4096, 9000), bufsize=10240)
    cells += [Cell('in', s, ring='plain') for s in (64, 1518)]
    cells += _in((64, 1518), queues=2)
    cells += [Cell('guests', s) for s in (64, 512, 1518)]
    cells += [Cell('guests', 9000, bufsize=10240)]
    cells += [Cell('both', s) for s in (64, 1518)]
    for size in (64, 1518):
        cells += [Cell('trip', size), Cell('trip', size, half=True), Cell('trip', size, half=True, irq=True)]
    cells += [Cell('out', 64, ports=n) for n in (8, 64, 256)]
    return cells


def quick():
    """A cell for each kind of bound, few enough for three minutes."""
    return chosen(('out/64', 'out/1518', 'out/9000x6', 'in/64', 'in/1518'))


def bounded():
    """Every cell that a bound speaks of."""
    return chosen({name for b in BOUNDS for name in (b.cell, b.beside_cell)})


def chosen(names):
    return [c for c in full() if c.name in names]


@dataclasses.dataclass(frozen=True)
class Bound:
    """A figure of a peer in a cell is at most most times the one of beside, in the same cell or another."""

    cell: str
    most: float
    peer: str = 'zcnet'
    beside: str = 'testpmd'
    other_cell: str = ''
    figure: str = 'cycles'

    @property
    def beside_cell(self):
        return self.other_cell or self.cell

    def __str__(self):
        beside = self.beside if not self.other_cell else f'{self.beside} in {self.other_cell}'
        return f'{self.cell}: {self.figure} of {self.peer} at most {self.most:g} of {beside}'


def _row(way, peers, mark, beside='testpmd', **most):
    """One row of a table of bounds; sizes are written s64=0.6."""
    return [Bound(f'{way}/{size}' + (f'x{DESCRIPTORS[int(size)]}' if way == 'out' and int(size) in DESCRIPTORS
                                     else '') + mark, m, peer, beside)
            for peer in peers for size, m in ((k[1:], v) for k, v in most.items())]


_BOTH = ('zcnet', 'testpmd-zcnet')

BOUNDS = tuple(
    _row('out', _BOTH, '', s64=0.60, s256=0.65, s512=0.45, s1518=0.27, s4096=0.25, s9000=0.16, s64000=0.040)
    + _row('out', _BOTH, '/cold', s64=0.60, s256=0.35, s512=0.13, s1518=0.07, s4096=0.06, s9000=0.034,
           s64000=0.030)
    + _row('out', _BOTH, '', beside='ovs', s64=0.30, s256=0.30, s512=0.28, s1518=0.20, s4096=0.20, s9000=0.13,
           s64000=0.040)
    + _row('out', ('zcnet',), '/h64', s512=0.60, s1518=0.38, s4096=0.30, s9000=0.18, s64000=0.045)
    + _row('in', ('zcnet',), '', s64=0.33, s512=0.25, s1518=0.16)
    + [Bound('in/1518/cold', 0.09), Bound('in/9000/buf10240', 0.05)]
    # One copy, no dearer than the peer's.
    + _row('in', ('testpmd-zcnet', 'zcnet-copy'), '', s64=1.0, s128=1.0, s256=1.0, s512=1.0, s1024=1.0, s1518=1.0)
    + _row('out', ('zcnet-copy',), '', **{f's{s}': 1.0 for s in SIZES})
    + [Bound('guests/1518', 0.60), Bound('guests/9000/buf10240', 0.50)]
    # Neither length nor idle neighbours cost anything.
    + [Bound('out/9000', 1.15, beside='zcnet', other_cell='out/512'),
       Bound('in/9000/buf10240', 1.15, beside='zcnet', other_cell='in/512/buf10240'),
       Bound('out/64/p256', 1.30, beside='zcnet', other_cell='out/64')]
    + [Bound(f'trip/{s}/half', 1.0, figure='p99_us') for s in (64, 1518)])
