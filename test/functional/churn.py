# SPDX-License-Identifier: BSD-3-Clause
"""Guests that are reset or killed under full load, again and again.

    guest0, which suffers --- nic0, a null NIC that never rests
    guest1, which must not notice --- nic1

What zcnet holds is looked at after the first rounds and after the last, each time with guest0 gone:
file descriptors, mappings, what is allocated of DPDK's memory, and resident memory. Host buffers,
window slots and armed buffers are counted when zcnet ends, and it says so when one is missing.
"""
import random
import signal

import rig as r

WARM_ROUNDS = 3             # guests until everything was used once
RSS_KB = 4096               # more or less, of resident anonymous memory
SECONDS = 3600              # of guest1, which is stopped long before


class Churn:
    def __init__(self, rig, seed):
        self.rig = rig
        self.rng = random.Random(seed)
        self.zc = rig.zcnet(
            rig.vhost('guest0', rx_full='wait') + rig.vhost('guest1') +
            r.ethdev('nic0', 'net_null0') + r.ethdev('nic1', 'net_null1') +
            r.connect('guest0', 'nic0', 'c0') + r.connect('guest1', 'nic1', 'c1'),
            ['net_null0,size=512', 'net_null1,no-rx=1'])
        self.other = rig.guest('--size', 512, '--seconds', SECONDS, 'flood', name='guest1')
        self.zc.guest_up('guest1')
        self.seen = self.guests = 0
        self.before = None
        self.frames = {'sent': 0, 'received': 0}

    def duplex(self, *args):
        return self.rig.guest('--size', 1518, '--bufsize', 2048, *args, 'duplex')

    def held(self):
        """What zcnet holds; guest0 is gone."""
        self.zc.guest_gone()
        self.zc.nothing_out()
        own = set(memory(self.other.pid))
        r.wait_for('no memory of guest0 is mapped', lambda: set(memory(self.zc.pid)) <= own)
        with open(f'/proc/{self.zc.pid}/status') as status:
            rss = next(int(line.split()[1]) for line in status if line.startswith('RssAnon'))
        with open(f'/proc/{self.zc.pid}/maps') as maps:
            mappings = len(list(maps))
        heap = self.zc.ask('/eal/heap_info,0')
        return {'fds': self.zc.fds(), 'mappings': mappings, 'allocated': heap['Alloc_size'],
                'rss': rss}

    def guest_done(self):
        """zcnet lives, and guest1's frames went on."""
        r.check(self.zc.poll() is None, f'zcnet ended with {self.zc.returncode}')
        frames = r.wait_for('frames of guest1', self._more_frames, 10, [self.zc, self.other])
        self.seen = frames
        self.guests += 1
        if self.guests == WARM_ROUNDS:
            self.before = self.held()

    def _more_frames(self):
        frames = self.zc.stats('guest1', 'rx')['frames']
        return frames if frames > self.seen else None

    def finish(self):
        """Everything as before, guest1 without a loss, and zcnet complains of nothing."""
        after = r.wait_for('as much as before is held', self._same)
        stats = self.zc.stats('guest1', 'rx')
        r.check(not any(stats[key] for key in stats if key.startswith('drop_')), f'{stats}')
        r.check(self.zc.complaints().count('port guest1: guest connected') == 1,
                'guest1 was interrupted')
        r.check(self.other.stop() == 0, f'guest1: {self.other.complaints()}')
        r.check('"in_order":true' in self.other.output(), f'guest1: {self.other.output()}')
        r.check(self.zc.stop() == 0, 'zcnet did not end well')
        log = self.zc.complaints()
        for word in ('still out', 'stay out', 'stays mapped', 'keeps', 'is kept'):
            r.check(word not in log, f'zcnet says: {word}')
        return {'before': self.before, 'after': after, 'guest1': stats['frames'], **self.frames}

    def _same(self):
        now = self.held()
        same = all(now[key] == self.before[key] for key in ('fds', 'mappings', 'allocated'))
        return now if same and abs(now['rss'] - self.before['rss']) < RSS_KB else None


def memory(pid):
    """Inodes of guest memory that a process has mapped."""
    with open(f'/proc/{pid}/maps') as lines:
        return [line.split()[4] for line in lines if '/memfd:guest' in line]


def resets(rig, count, seed):
    """Guests reset their device after random numbers of frames, five times each."""
    churn = Churn(rig, seed)
    for done in range(0, count, 5):
        n = min(5, count - done)
        guest = churn.duplex('--resets', n, '--count', 3000, '--seed', churn.rng.randrange(1 << 30))
        result = guest.result(120)
        r.check(result['resets'] == n, f'{result}')
        churn.frames['sent'] += result['sent']
        churn.frames['received'] += result['received']
        churn.guest_done()
    return churn.finish()


def kills(rig, count, seed):
    """The guest's process gets SIGKILL a random time after frames were seen both ways."""
    churn = Churn(rig, seed)
    for _ in range(count):
        before = churn.zc.stats('guest0', 'rx')['frames'], churn.zc.stats('guest0', 'tx')['frames']
        guest = churn.duplex()

        def frames():
            return (churn.zc.stats('guest0', 'rx')['frames'],
                    churn.zc.stats('guest0', 'tx')['frames'])
        least = churn.rng.randrange(1, 5000)
        r.wait_for('frames of guest0',
                   lambda: all(a > b + least for a, b in zip(frames(), before)), 20,
                   [churn.zc, guest])
        guest.stop(signal.SIGKILL)
        churn.zc.guest_gone()
        now = frames()
        churn.frames['sent'] += now[0] - before[0]
        churn.frames['received'] += now[1] - before[1]
        churn.guest_done()
    return churn.finish()
