# SPDX-License-Identifier: BSD-3-Clause
"""Guests that share a model NIC: drawn from a seed, and how they live.

    zcnet-guest x N --- vhost-user --- zcnet --- net_model, rules --- its cables, one a guest

The NIC gives each guest frames of its own, in order and never dropped for want of a buffer: so what
comes by a queue of the guest's own has to arrive whole. Broadcasts and a stranger's come beside.
"""
import nic
import rig as r

FRAMES = 1000           # to each guest
FEW = 100               # broadcasts, and as many for a stranger
FOREVER = 1 << 40
RATE = 1000             # frames a second from each queue of a guest: several share a CPU
QUEUES_MAX, GUESTS_MAX = 4, 5           # of the model
STEERED_PAIR = 1
GOOD = {'dma': 1, 'grain': 'byte', 'segs': 64, 'tx-min': 0, 'second': 0}
WRONG = ('altered', 'bad_header', 'out_of_order')


def mac(number):
    return f'02:00:00:00:01:{number:02x}'


class Shared(nic.Trial):
    """A NIC for several guests: what nic.Trial draws, and how it is shared."""

    def __init__(self, rng, row=None, good=None, vlan=0):
        """vlan: of the first guest"""
        self.vlan, self.good = vlan, good
        super().__init__(rng, 0, row, good)
        self.guests = rng.randint(2, GUESTS_MAX)
        self.queues = rng.randint(1, QUEUES_MAX)
        self.pairs = [rng.choice((1, 2, 2, 2, 3)) for _ in range(self.guests)]
        if good is not None:
            self.queues, self.pairs[0] = max(self.queues, 2), 2
        self.args.update(share=self.guests, vlan=vlan, spread=rng.choice((0, 1)),
                         rules=rng.choice((0, 1, 2, 64, 64, 64)) if good is None else 64)
        if row is None:
            self.args.setdefault('steer', rng.choice((0, 1, 2, 3)))
        self.keys['queues'] = self.queues
        self.vhost.pop('queues')

    def draw_frames(self, rng):
        if self.good is not None:
            self.mtu = self.keys['mtu'] = 1500      # VMDq takes no more
        super().draw_frames(rng)
        # With one descriptor each frame is a wait for the NIC's thread and back.
        self.count = min(FEW if self.args.get('row') == 'net_tap' else FRAMES, self.count)

    def name(self, number):
        return f'guest{number}'

    def conn_name(self, number):
        return f'c{number}'

    def config(self, rig):
        text = r.ethdev(self.nic, self.device, **self.keys)
        for i, pairs in enumerate(self.pairs):
            text += rig.vhost(self.name(i), queues=pairs, **self.vhost)
            keys = {'vlan': self.vlan} if self.vlan and i == 0 else {}
            text += r.connect(self.name(i), self.nic, self.conn_name(i), mac=mac(i), **keys)
        return text

    def words(self, number):
        """Of that guest, which sends and receives for ever."""
        words = list(self.guest_args)
        for key, value in (('--queues', self.pairs[number]), ('--seed', self.seed + 2 + number),
                           ('--peer-seed', self.seed + 1 + number)):
            words[words.index(key) + 1] = value
        return [*words, '--dst', mac(number), '--peer-queues', 1, '--count', FOREVER,
                '--rate', RATE, '--timeout', 1000 * nic.PATIENCE]

    def ways(self):
        """How zcnet may steer, by what the NIC is and what zcnet knows of it."""
        if 'row' in self.args:
            return nic.steers(self.args['row'])
        known = self.args['steer'] if self.args['known'] else 0
        return [way for bit, way in ((1, 'FLOW'), (2, 'VMDQ')) if known & bit]

    def takes(self, way, queue, used):
        """Does the NIC take one address more?"""
        if way == 'FLOW':
            return used + 2 <= self.args['rules']       # one is for all the rest
        step = 2 if self.args.get('row') == 'net_ixgbe' else 1
        return used + 1 <= self.args['rules'] and queue % step == 0 and self.keys['mtu'] <= 1500

    def own_queues(self):
        """Which NIC queue each guest has for its own, 0: none. First come, first served."""
        own, ways = [], self.ways()
        for number, pairs in enumerate(self.pairs):
            queue = number + 1 if number + 1 < self.queues and pairs > 1 else 0
            used = sum(map(bool, own))
            taken = [way for way in ways if queue and self.takes(way, queue, used)][:1]
            ways = taken or ways
            own.append(queue if taken else 0)
        return own

    def __str__(self):
        return f'{super().__str__()} | pairs {self.pairs}'


class Party:
    """A shared NIC under way, and its guests."""

    def __init__(self, rig, trial):
        self.rig, self.trial = rig, trial
        self.model = nic.Model(rig, [trial])
        self.zc = self.model.zc
        self.guest = {}
        self.given_up = [0] * trial.guests      # how often it left a queue of its own
        for number in range(trial.guests):
            self.come(number)

    def come(self, number):
        trial = self.trial
        self.guest[number] = self.rig.guest(*trial.words(number), 'both', name=trial.name(number))
        self.zc.guest_up(trial.name(number), trial.pairs[number], nic.PATIENCE)

    def go(self, number, wrong=WRONG):
        """It ends by itself; nothing that it saw was wrong. @return its result"""
        guest = self.guest.pop(number)
        guest.stop(timeout=nic.PATIENCE)
        result = guest.result(status=None)
        for key in wrong:
            r.check(result[key] == 0, f'{guest.name}: {key}: {result}')
        r.check(not guest.complaints(), f'{guest.name}: {guest.complaints()}')
        self.gone(number)
        return result

    def gone(self, number):
        """Nothing of it is with the NIC any more."""
        self.given_up[number] += 1
        self.zc.guest_gone(self.trial.name(number))
        self.wait(f'guest {number} has no queue', lambda: not self.conn(number)['own_queue'])

    def kill(self, number):
        self.guest[number].kill()
        self.guest.pop(number).wait()
        self.gone(number)

    def rebind(self, number):
        name, guest = self.trial.conn_name(number), self.trial.name(number)
        self.zc.shell(f'unbind {name}', nic.PATIENCE)
        self.zc.shell(f'bind {name} {guest} {self.trial.nic} mac {mac(number)}', nic.PATIENCE)
        self.given_up[number] = 0

    def restart(self):
        for command in 'stop', 'start':
            self.zc.shell(f'port {command} {self.trial.nic}', nic.PATIENCE)

    def wait(self, what, probe):
        return r.wait_for(what, probe, nic.PATIENCE, [self.zc, *self.guest.values()])

    def conn(self, number):
        return self.zc.conn(self.trial.conn_name(number))

    def own(self):
        return [self.conn(number)['own_queue'] for number in range(self.trial.guests)]

    def flows(self):
        """Wait for frames to each guest, by its own queue if it has one, and from each."""
        def counts():
            return [self.zc.queue(self.trial.name(number), way, queue)['frames']
                    for number, own in enumerate(self.own())
                    for way, queue in (('tx', STEERED_PAIR if own else 0), ('rx', 0))]
        before = counts()
        self.wait('frames for all guests',
                  lambda: all(now > then + 50 for now, then in zip(counts(), before)))

    def send(self, frames, broadcasts, strangers):
        for key, count in (('frames', frames), ('broadcasts', broadcasts),
                           ('strangers', strangers)):
            self.model.set(self.trial, key, count)

    def into(self, number):
        """What was given to a guest, or would have been."""
        counters = self.zc.stats(self.trial.name(number), 'tx')
        return counters['frames'] + nic.drops(counters)

    def arrived(self, total):
        """All frames of the cables are with a guest, or counted."""
        given = sum(self.into(number) for number in range(self.trial.guests))
        # Of what a restart of the NIC flushed, each may have been for all.
        flushed = self.model.info(self.trial)['rx_flushed'] * self.trial.guests
        return given + nic.drops(self.zc.stats(self.trial.nic, 'rx')) + flushed >= total

    def nothing_misled(self):
        self.model.check_violations()
        r.check(self.zc.stats(self.trial.nic, 'rx')['drop_wrong_queue'] == 0, 'drop_wrong_queue')
