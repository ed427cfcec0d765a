# SPDX-License-Identifier: BSD-3-Clause
"""What a guest that attacks its worker costs its neighbour.

    guest0, the victim: its ring is never empty -- zcnet, one worker -- nic0
    guest1, the attacker                                             -- nic1, or nic0 for both

What is measured is how many of the victim's frames the worker moves in a second of its CPU time, as
somebody else may have its CPU, too. Attacker and victim share another CPU, and that must not be
seen: the victim's ring lasts for a millisecond and more, and is filled by a process that sleeps in
between and is woken before all others. How often it came too late is checked at the end. zcnet's
control threads go first as well: nobody's streams stand still for want of that CPU.

The frames are the shortest, one descriptor each: what the attacker costs is the largest part there
of what a turn costs. A window under attack is compared with the ones before and after it, in which
the attacker's process stands still; the median of such pairs counts.
"""
import glob
import os
import signal
import statistics
import time

import rig as r

WINDOW = 0.2            # seconds
PAIRS, PAIRS_MAX = 8, 40
LEAST = 0.9
DRY = 0.05
QUEUES = 4
ALL_QUEUES = ('--queues', QUEUES)
VICTIM = r.ethdev('nic0', 'net_null0', mtu=128) + r.connect('guest0', 'nic0', 'c0')


class Victim:
    """How fast its frames go."""

    def __init__(self, rig, zc, mode):
        self.zc = zc
        self.way = 'rx' if mode == 'flood' else 'tx'
        self.guest = rig.guest('--ring-size', 32768, '--slot-bytes', 384, '--nap', 100,
                               '--seconds', 200, '--bufsize', 160, mode, name='guest0', first=True)
        zc.guest_up('guest0')
        self.worker = zc.worker()
        for task in glob.glob(f'/proc/{zc.pid}/task/*'):
            if task != self.worker:
                os.sched_setscheduler(int(os.path.basename(task)), os.SCHED_FIFO, os.sched_param(1))

    def look(self):
        """Its frames, TSC of the worker's turns; its seconds on the CPU, waiting for it, and all."""
        begin, before = time.monotonic(), read(f'{self.worker}/schedstat').split()
        stats = self.zc.ask('/zcnet/worker/stats')['0']
        frames = self.zc.stats('guest0', self.way)['frames']
        end, after = time.monotonic(), read(f'{self.worker}/schedstat').split()
        on, off = ((int(x) + int(y)) / 2e9 for x, y in zip(before[:2], after[:2]))
        tsc = (stats['busy_cycles'] + stats['idle_cycles']) / stats['tsc_hz']
        return frames, tsc, on, off, (begin + end) / 2

    def window(self):
        """Frames a second of the worker's CPU time; None: the kernel's account isn't up to date."""
        before = self.look()
        time.sleep(WINDOW)      # what is measured is a rate
        frames, tsc, on, off, wall = (then - now for then, now in zip(self.look(), before))
        if off == 0 and tsc > 0:
            return frames / tsc         # nobody else was there
        return frames / on if on > 0 and abs(on + off - wall) < wall / 20 else None

    def finish(self):
        """Its ring was full all the time, or what was measured isn't what zcnet can do."""
        r.check(self.guest.stop() == 0, self.guest.complaints())
        late = self.guest.result()['dry']
        r.check(late < DRY, f'the victim left its ring empty {late:.3f} of its turns')

    def speed(self):
        return r.wait_for('a window that counts', self.window, 30, [self.zc])


def read(path):
    with open(path) as file:
        return file.read()


def under_attack(victim, attacker):
    """What the victim keeps of its speed, pairs of windows, and how long the attacks took."""
    kept, seconds = [], 0
    idle = victim.speed()
    while len(kept) < PAIRS or (statistics.median(kept) < LEAST and len(kept) < PAIRS_MAX):
        begin = time.monotonic()
        attacker.send_signal(signal.SIGCONT)
        attacked = victim.speed()
        attacker.send_signal(signal.SIGSTOP)
        seconds += time.monotonic() - begin
        before, idle = idle, victim.speed()
        kept.append(2 * attacked / (before + idle))
    return statistics.median(kept), len(kept), seconds


def attack(rig, zc, victim, mode, args):
    attacker = rig.guest('--timeout', 60000, *args, mode, name='guest1')
    r.wait_for('attacks', lambda: 'ready' in attacker.output(), 20, [zc, attacker])
    attacker.send_signal(signal.SIGSTOP)
    kept, pairs, seconds = under_attack(victim, attacker)
    attacker.send_signal(signal.SIGCONT)
    attacker.stop()
    done = attacker.result()['done']
    zc.guest_gone('guest1')
    print(f'  {mode:10} {" ".join(map(str, args)):18} {done / seconds:9.0f} a second: the victim keeps '
          f'{kept:.3f}, {pairs} pairs', flush=True)
    r.check(done > pairs, f'{mode}: {done} times in {pairs} windows')
    return kept


def attacks(rig, mode, config, devices, modes, begin=lambda zc: None, **argv):
    """Each of them on the same victim. @return counters of the attacker's port"""
    r.need_priority()
    zc = rig.zcnet(rig.vhost('guest0') + rig.vhost('guest1', queues=QUEUES) + config, devices, **argv)
    begin(zc)
    victim = Victim(rig, zc, mode)
    kept = {f'{mode} {args}': attack(rig, zc, victim, mode, args) for mode, args in modes}
    stats = zc.ask('/zcnet/port/stats,guest1')
    victim.finish()
    for name, share in kept.items():
        r.check(share >= LEAST, f'{name}: the victim keeps {share:.3f} of its speed')
    r.check(any(counters['broken'] for counters in stats.values()), 'no ring was broken')
    zc.guest_gone('guest0')
    r.check(zc.stop() == 0, 'zcnet did not end well')
    return stats
