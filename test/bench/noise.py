# SPDX-License-Identifier: BSD-3-Clause
"""Whether the machine was quiet enough for a figure to mean something.

Three things spoil one: another program on the two cores (seen as time that our threads waited for
their core), the hypervisor (steal), and the state of the machine: a virtual machine's cores move
nearer to each other and apart, and everything that two cores share costs two or three times as
much in one state as in the other. The probe, a fixed piece of work timed before and after each
run, tells the states apart; only runs of one state are compared.
"""

import contextlib
import json
import os
import re
import subprocess

WAITED_MOST = 0.02      # share of a window that the switch's thread may have waited for its core
ALIKE = 1.3             # cycles of the cache line's way may differ by so much in one state
LOOP_MOST = 1.1         # of the loop's best: more is a slow clock


class Probe:
    """The probe, and the best that it has shown."""

    def __init__(self, build, cpus):
        self.path = os.path.join(build, 'test/bench/probe')
        self.cpus = [str(c) for c in cpus]
        self.best = {}
        for _ in range(20):
            self.take()

    def take(self):
        got = json.loads(subprocess.run([self.path, *self.cpus], check=True, capture_output=True,
                                        text=True, timeout=60).stdout)
        for key, value in got.items():
            self.best[key] = min(value, self.best.get(key, value))
        return got

    def state(self, before, after):
        """Cycles of the cache line's way, or None when the machine changed state meanwhile."""
        if max(before['loop'], after['loop']) > LOOP_MOST * self.best['loop']:
            return None
        low, high = sorted((before['line'], after['line']))
        return (low + high) / 2 if high <= ALIKE * low else None


def is_alike(state, other):
    return state is not None and max(state, other) <= ALIKE * min(state, other)


def common_state(groups):
    """The state that most runs of each group were taken in; None when there is none."""
    states = [s for g in groups for s in g if s is not None]
    return max(states, default=None,
               key=lambda s: (min(sum(is_alike(o, s) for o in g) for g in groups), -s))


def go_first(pid):
    """Before other programs, as far as we may: by session first, that is how the kernel shares a core."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -20)
        with open(f'/proc/{pid}/autogroup', 'w', encoding='ascii') as f:
            f.write('-20')


def spawn(argv, **more):
    """A process in a session of its own; the same for all peers."""
    process = subprocess.Popen(argv, start_new_session=True, **more)
    go_first(process.pid)
    return process


def thread_waited(pid, tid):
    """Nanoseconds that a thread has waited for its core while it could have run."""
    with open(f'/proc/{pid}/task/{tid}/schedstat', encoding='ascii') as f:
        return int(f.read().split()[1])


def threads(pid, pattern):
    """Threads of a process by name."""
    found = []
    for tid in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{tid}/comm', encoding='ascii') as f:
            if re.match(pattern, f.read()):
                found.append(int(tid))
    return found


def stolen(cpu):
    """Seconds that the hypervisor gave to somebody else."""
    with open('/proc/stat', encoding='ascii') as f:
        for line in f:
            if line.startswith(f'cpu{cpu} '):
                return int(line.split()[8]) / os.sysconf('SC_CLK_TCK')
    return 0.0
