# SPDX-License-Identifier: BSD-3-Clause
"""The guest, the same for every switch: a bare front-end that costs less than what it measures."""

import contextlib
import json
import os
import signal
import subprocess

import noise
from switches import CPU_GUEST, Failed


# How a guest lays its rings and chains out.
RING_KINDS = {
    '': (),
    'table': ('--table',),
    'hdr': ('--hdr-alone',),
    'plain': ('--features', 'none', '--mergeable', '0'),
}


class Guest:
    """A process that is a guest, or two, until it is told to stop."""

    def __init__(self, argv):
        self.process = noise.spawn(['taskset', '-c', str(CPU_GUEST), *argv], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)

    def check(self):
        if self.process.poll() is not None:
            raise Failed('guest: ' + (self.process.stderr.read().strip() or 'ended by itself'))

    def freeze(self):
        """Keep the connection, cost nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def stop(self):
        """@return what it says of itself; {} when it was killed."""
        said = ''
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            said = self.process.communicate(timeout=8)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        with contextlib.suppress(ValueError, IndexError):
            return json.loads(said.strip().split('\n')[-1])
        return {}


def single(build, sock, mode, cell):
    """zcnet-guest that floods, sinks or is idle."""
    argv = [os.path.join(build, 'test/lib/zcnet-guest'), '--socket', sock, '--queues', str(cell.queues),
            '--seconds', '600', '--slot-bytes', str(slot_bytes(cell)), *RING_KINDS[cell.ring]]
    if mode == 'flood':
        argv += ['--size', str(cell.size), '--desc', str(cell.desc)]
    elif mode == 'sink':
        argv += ['--bufsize', str(cell.bufsize)]
    if mode != 'idle':
        argv += ['--walk', str(cell.walk)] if cell.walk else ['--buffers', str(hot_buffers(cell))]
    return Guest([*argv, mode])


def pair(build, sender, receiver, cell):
    """One that floods and one that sinks, in one loop."""
    return Guest([os.path.join(build, 'test/bench/pair'), sender, receiver, str(cell.size), str(cell.bufsize)])


def paced(build, sender, receiver, cell, rate):
    """One that sends at a rate, and one that tells how long the frames took, in one loop."""
    return Guest([os.path.join(build, 'test/bench/paced'), sender, receiver, str(cell.size), str(rate),
                  *(['irq'] if cell.irq else [])])


def slot_bytes(cell):
    return max(16384, -(-(cell.size + 256) // 4096) * 4096)


def hot_buffers(cell):
    """Distinct buffers that fit the cache of a core: half a MiB of them, 256 at most."""
    return max(16, min(256, 512 * 1024 // max(cell.size, cell.bufsize if cell.way != 'out' else 0)))
