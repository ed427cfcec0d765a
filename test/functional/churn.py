# SPDX-License-Identifier: BSD-3-Clause
"""Guests that are reset or killed under full load, again and again.

    guest0, which suffers --- nic0, a null NIC that never rests
    guest1, which must not notice --- nic1

What zcnet holds is looked at after the first rounds and after the last, each time with guest0 gone
and nic0 stopped: file descriptors, mappings, ranges of guest memory, what is allocated of DPDK's
memory, mbufs in use of each pool, all the same to the last one; and resident memory. guest1 notes
how long nothing of its ring came back, but for what the worker itself waited for its CPU.
"""
import random
import signal

import rig as r

WARM_ROUNDS = 3             # guests until everything was used once
# That resident anonymous memory may grow: the C library keeps what was freed, and stacks grow as
# deep as they were used once. A quarter of a kilobyte for each of a thousand guests.
RSS_KB = 256
GAP_US = 250000             # of the worker's time, that guest1 may wait for its ring
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
        self.other = rig.guest('--size', 512, '--seconds', SECONDS, '--worker',
                               f'{self.zc.worker()}/schedstat', 'flood', name='guest1')
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
        self.zc.shell('port stop nic0')     # it has buffers at any time
        with open(f'/proc/{self.zc.pid}/status') as status:
            rss = next(int(line.split()[1]) for line in status if line.startswith('RssAnon'))
        heap = self.zc.ask('/eal/heap_info,0')
        held = {'fds': self.zc.fds(), 'mappings': self.zc.mappings(),
                'guest memory': self.zc.guest_maps(), 'allocated': heap['Alloc_size'],
                'allocations': heap['Alloc_count'],
                'mbufs': mbufs(self.zc.shell('show mempool')), 'rss': rss}
        self.zc.shell('port start nic0')
        return held

    def guest_done(self):
        """zcnet lives, and guest1's frames went on."""
        r.check(self.zc.poll() is None, f'zcnet ended with {self.zc.returncode}')
        frames = r.wait_for('frames of guest1', self._more_frames, 10, [self.zc, self.other])
        self.seen = frames
        self.guests += 1
        if self.guests == WARM_ROUNDS:
            self.before = r.wait_for('nothing but memory of guest1 is held', self._of_guest1)

    def _of_guest1(self):
        held = self.held()
        inodes = {line.split()[4] for line in held['guest memory']}
        return held if inodes == self.other.guest_memory() else None

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
        other = self.other.result()
        r.check(other['in_order'], f'guest1: {other}')
        r.check(other['gap_us'] < GAP_US, f'guest1 was interrupted for {other["gap_us"]} us')
        r.check(self.zc.stop() == 0, 'zcnet did not end well')
        log = self.zc.complaints()
        for word in ('still out', 'stay out', 'stays mapped', 'keeps', 'is kept'):
            r.check(word not in log, f'zcnet says: {word}')
        return {'rss': after['rss'] - self.before['rss'], 'guest1': stats['frames'],
                'gap_us': other['gap_us'], **self.frames}

    def _same(self):
        now = self.held()
        same = all(now[key] == self.before[key] for key in now if key != 'rss')
        return now if same and now['rss'] - self.before['rss'] < RSS_KB else None


def mbufs(shown):
    """In use, of each pool."""
    return {words[0]: int(words[4]) for words in map(str.split, shown.splitlines())
            if len(words) == 6 and words[4].isdigit()}


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
