# SPDX-License-Identifier: BSD-3-Clause
"""Trials of zcnet with net_model: drawn from a seed, run, judged.

    zcnet-guest -- vhost-user -- zcnet -- net_model -- its own cable, with sender and checker

A trial is a NIC, a port's settings and a guest. Several run beside each other in one zcnet, each
with a guest of its own. The devargs of every NIC are printed, so that one can be tried alone.
"""
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'functional'))
import rig as r  # noqa: E402

PROGRAM = os.path.join(r.BUILD, 'test', 'model', 'zcnet-model')
FRAMES = 15000          # each way and queue
BYTES = 12 << 20        # each way
PATIENCE = 120          # seconds for what has to come about some time
SILENCE_MS = 20000      # without progress: broken, however busy the machine
VIOLATIONS = re.compile(r'X\((\w+), "')


def need_model():
    if not os.access(PROGRAM, os.X_OK):
        raise r.Skip(f"{PROGRAM} is not built: DPDK's driver headers are missing: ./dev setup")


def source(*path):
    with open(os.path.join(r.ROOT, *path)) as text:
        return text.read()


def rows():
    """Names in the driver table."""
    return re.findall(r'\.name = "(\w+)"', source('lib', 'zcnet', 'port', 'driver.c'))


def steers(row):
    """How a row of the table can steer."""
    text = source('lib', 'zcnet', 'port', 'driver.c')
    entry = text[text.index(f'.name = "{row}"'):]
    return re.findall(r'ZC_STEER_(\w+)', entry[:entry.index('}')])


def violations():
    """Names of what must never be."""
    return VIOLATIONS.findall(source('test', 'model', 'model.h'))


def own_row(rng):
    """Properties that no driver has together, maybe."""
    dma = int(rng.random() < 0.7)
    return {'dma': dma, 'own-map': int(dma and rng.random() < 0.1),
            'queue-stop': rng.choice((0, 1)), 'done': rng.choice((0, 1, 1, 2, 4, 6, 8)),
            'rs': rng.choice((0, 1)), 'segs': rng.choice((1, 2, 4, 8, 16, 40, 64)),
            'tx-min': rng.choice((0, 17, 60, 100)),
            'order': rng.choice(('fifo',) * 6 + ('unordered', 'foreign')),
            'grain': rng.choice(('byte', '128', '1k', 'power')),
            'before': rng.choice((0,) * 8 + (12, 64)), 'second': int(rng.random() < 0.2),
            'known': int(rng.random() < 0.95)}


def draw_split(rng, row, args):
    """@return how the NIC splits, and the port's split-bytes: as the row allows."""
    kind = {None: rng.choice(('none', 'empty', 'kept', 'protocol')), 'mlx5_pci': 'kept',
            'net_ice': 'protocol'}.get(row, 'none')
    if args.get('second'):
        kind = 'none'
    return kind, rng.choice({'empty': (0, 18, 64, 256), 'kept': (0, 18, 40, 59)}.get(kind, (0,)))


# Of a frame longer than the NIC can be given, and of a NIC that wasn't run for a while.
EXPLAINED = 'drop_segs', 'drop_flushed', 'drop_link_down'
# For each of these something must be copied, or nothing lent to the NIC.
FLAWS = ({'before': 64}, {'order': 'unordered'}, {'order': 'foreign'}, {'own-map': 1, 'dma': 1},
         {'known': 0}, {'segs': 1}, {'tx-min': 100}, {'done': 0})


class Trial:
    """One NIC and one guest; good: all that zero copy wants is there, but for what it says."""

    def __init__(self, rng, number, row=None, good=None):
        self.nic, self.guest, self.device = f'nic{number}', f'guest{number}', f'net_model{number}'
        self.seed = rng.randrange(1 << 31)
        self.args = {'row': row} if row else own_row(rng)
        if good is not None and not row:
            self.args.update({'own-map': 0, 'order': 'fifo', 'before': 0, 'known': 1,
                              'done': rng.choice((1, 2, 4, 6, 8)), **good})
        self.args.update(
            refill=rng.choice(('one', '32', '64', 'all', 'ring')), scatter=rng.choice((0, 1)),
            lsc=rng.choice((0, 1)), batch=rng.choice((1, 8, 32, 256)))
        self.args['delay'] = rng.choice((0, self.args['batch'] * 10))
        self.args['engine-frees'] = int(row == 'net_ring' or rng.random() < 0.3)
        self.args['keeps-rx'] = int(row == 'net_tap')
        self.args['keeps-tx'] = int(row == 'net_ring')
        self.args['split'], split = draw_split(rng, row, self.args)
        self.queues = rng.choice((1, 1, 2))
        self.mtu = rng.choice((1500, 1500, 4000, 9000))
        self.keys = {'queues': self.queues, 'mtu': self.mtu,
                     'tx_desc': rng.choice((0, 64, 128, 512, 700)), 'split_bytes': split}
        if row != 'net_tap':
            self.keys['rx_desc'] = rng.choice((0, 32, 32, 64, 64, 128, 256))
        self.vhost = {'rx_full': 'wait', 'queues': self.queues,
                      'threshold': rng.choice((0, 64, 256, 1000)),
                      'header_bytes': rng.choice((0, 0, 0, 14, 64, 256)),
                      'out_max': rng.choice((1, 16, 256, 1024, 1024))}
        self.draw_frames(rng)
        self.draw_guest(rng)
        self.conn = f'c{number}'
        if good is not None:
            if row != 'net_tap':
                self.keys['rx_desc'] = rng.choice((32, 64))
            self.guest_args += ['--ring-size', 1024, '--bufsize', 17000, '--mergeable', 1,
                                '--layout', 'together']

    def draw_frames(self, rng):
        # What isn't armed is received into 2 KB, more than that only in several.
        most = self.mtu + 14 if self.args['scatter'] else min(self.mtu + 14, 2000)
        self.min = rng.choice((60, 60, 250, most))
        self.max = rng.choice((most, most, max(self.min, 300)))
        self.set_frames()

    def set_frames(self):
        self.set_count(FRAMES, BYTES)
        self.args.update(seed=self.seed, plan=self.seed + 1, peer=self.seed + 2, min=self.min,
                         max=self.max)

    def set_count(self, frames, size):
        self.count = min(frames, 2 * size // (self.min + self.max) // self.queues)

    def draw_guest(self, rng):
        mergeable = rng.choice((0, 1, 1))
        size = self.max + 12
        sizes = (size, 1524, 2048, 4096, 9100, 16000, 17000, 17000, 17000, 17000)
        self.guest_args = ['--queues', self.queues, '--min', self.min, '--max', self.max,
                           '--seed', self.seed + 2, '--peer-seed', self.seed + 1,
                           '--ring-size', rng.choice((64, 256, 256, 1024, 1024)),
                           '--regions', rng.choice((1, 2, 3)), '--slot-bytes', 24576,
                           '--mergeable', mergeable, '--timeout', SILENCE_MS, '--window', 0,
                           '--bufsize', rng.choice([s for s in sizes if mergeable or s >= size])]
        layout = rng.choice((None, None, None, 'together', 'together', 'together', 'hdr-alone',
                             'pieces-2', 'indirect', 'spread'))
        if layout:
            self.guest_args += ['--layout', layout]

    def vdev(self):
        return ','.join([self.device, *(f'{key}={value}' for key, value in self.args.items())])

    def config(self, rig):
        return (rig.vhost(self.guest, **self.vhost) +
                r.ethdev(self.nic, self.device, **self.keys) +
                r.connect(self.guest, self.nic, self.conn))

    def __str__(self):
        keys = ' '.join(f'{k}={v}' for k, v in {**self.keys, **self.vhost}.items())
        return f'{self.vdev()} | {keys} | {" ".join(map(str, self.guest_args))}'


class Steady(Trial):
    """One whose frames are long enough to be attached, and short enough for all NICs."""

    def __init__(self, rng, number, row=None):
        super().__init__(rng, number, row, good={})
        self.vhost.update(threshold=256, out_max=rng.choice((64, 256, 1024)))

    def draw_frames(self, rng):
        self.min, self.max, self.mtu = 300, 1400, 1500
        self.set_frames()


def sums(zc, trials):
    """Frames, and those without a copy: out of the guests and into them."""
    total = {'frames': 0, 'attached': 0, 'in place': 0}
    for trial in trials:
        out, into = zc.stats(trial.guest, 'rx'), zc.stats(trial.guest, 'tx')
        total['frames'] += out['frames'] + into['frames']
        total['attached'] += out['zc_frames']
        total['in place'] += into['zc_frames']
    return total


def drops(counters):
    return sum(value for key, value in counters.items() if key.startswith('drop_'))


class Model:
    """A zcnet with models, and what they say."""

    def __init__(self, rig, trials):
        self.trials = trials
        for trial in trials:
            print('  ', trial, flush=True)
        self.zc = rig.zcnet(''.join(t.config(rig) for t in trials), [t.vdev() for t in trials],
                            program=PROGRAM)

    def info(self, trial):
        return self.zc.ask(f'/model/info,{trial.device}')

    def set(self, trial, key, value):
        r.check(self.zc.ask(f'/model/set,{trial.device},{key},{value}') == 'done',
                f'{trial.device}: {key} {value} was refused')

    def check_violations(self):
        info = self.info(self.trials[0])
        found = {name: info[name] for name in violations() if info[name]}
        r.check(not found, f'violations: {found}: {self.zc.complaints()[-2000:]}')

    def end(self):
        self.check_violations()
        r.check(self.zc.stop(timeout=PATIENCE) == 0, f'zcnet ended with {self.zc.returncode}')
        r.check('VIOLATION' not in self.zc.complaints(), self.zc.complaints()[-2000:])


def judge(model, trial, result):
    """Every frame came through, or one counter says where it was lost; and none was altered."""
    zc, info = model.zc, model.info(trial)
    for key in ('altered', 'reordered', 'foreign', 'bad_header', 'out_of_order'):
        r.check(result[key] == 0, f'{trial.device}: {key}: {result}')
    r.check(info['tx_reordered'] == 0, f'{trial.device}: frames overtook each other: {info}')
    for way in 'rx', 'tx':
        for port in trial.guest, trial.nic:
            lost = {key: n for key, n in zc.stats(port, way).items()
                    if key.startswith('drop_') and key not in EXPLAINED and n}
            r.check(not lost, f'{port}: {way}: {lost}')
    sent = trial.count * trial.queues
    lost = info['tx_flushed'] + drops(zc.stats(trial.guest, 'rx')) + drops(zc.stats(trial.nic, 'tx'))
    r.check(info['tx_frames'] + lost == sent,
            f'{trial.device}: {sent} frames sent, {info["tx_frames"]} came, {lost} counted as lost')
    lost = info['rx_flushed'] + drops(zc.stats(trial.guest, 'tx')) + drops(zc.stats(trial.nic, 'rx'))
    r.check(result['frames'] + lost == info['rx_frames'] == sent,
            f'{trial.device}: of {info["rx_frames"]} frames {result["frames"]} came, {lost} counted '
            'as lost')


def traffic(rig, trials, look=lambda zc, trial: None):
    """Frames both ways through every trial; then look. @return what sums() gives"""
    model = Model(rig, trials)
    guests = [rig.guest(*t.guest_args, '--count', t.count, '--hold', 'both', name=t.guest)
              for t in trials]
    for trial, guest in zip(trials, guests):
        model.zc.guest_up(trial.guest, trial.queues)
        model.set(trial, 'frames', trial.count)
        guest.go()
    results = [guest.result(timeout=600, status=None) for guest in guests]
    for trial, guest, result in zip(trials, guests, results):
        said = [line for line in guest.complaints().splitlines() if 'no frame' not in line]
        r.check(result and not said, f'{trial.guest}: {said}')
        model.check_violations()
        judge(model, trial, result)
        print(f'   {trial.device}: {trial.count * trial.queues} frames each way;', shares(model.zc, trial))
        look(model.zc, trial)
    total = sums(model.zc, trials)
    model.end()
    return total


def shares(zc, trial):
    """How much went without a copy: a share per way, for people."""
    out, into = zc.stats(trial.guest, 'rx'), zc.stats(trial.guest, 'tx')
    return f'attached {r.share(out):.2f}, in place {r.share(into):.2f}'


def drawn_seed():
    """Of this run; said, so that it can be had again."""
    seed = int(os.environ.get('ZC_MODEL_SEED') or random.randrange(1 << 31))
    print(f'ZC_MODEL_SEED={seed}')
    return seed


def rounds():
    """So many until every row of the table and every flaw had its turn."""
    return max((len(rows()) + 1) // 2, len(FLAWS))


def draw(seed, number, frames=FRAMES, size=BYTES):
    """The trials of a round: two rows of the table in turn, and one of our own.

    Each way and queue so many frames, and not more than so many bytes together.
    """
    rng = random.Random(f'{seed}/{number}')
    names = rows()
    trials = [Trial(rng, i, names[(2 * number + i) % len(names)]) for i in range(2)]
    turn, flaw = divmod(number, len(FLAWS))
    trials.append(Trial(rng, 2, good=rng.choice((None, {})) if turn % 2 else FLAWS[flaw]))
    for trial in trials:
        trial.set_count(frames, size)
    return trials
