# SPDX-License-Identifier: BSD-3-Clause
"""Running: one run is one start of a switch and its guest; runs of peers take turns."""

import dataclasses
import os
import shutil
import statistics
import sys
import tempfile
import time

import guests as machines
import noise
from switches import CPU_GUEST, CPU_SWITCH, Failed

WARM_SECONDS = 0.15
WINDOW_SECONDS = 0.02


@dataclasses.dataclass
class Run:
    """What one run gave. cycles: a frame delivered, the median of the quiet windows."""

    cycles: float = 0.0
    pps: float = 0.0            # delivered
    lost: float = 0.0           # share
    no_copy: float = 0.0        # share
    quiet: int = 0              # windows
    windows: int = 0
    state: float | None = None  # of the machine, see noise.Probe
    round: int = 0              # runs of one round came one after the other
    p50_us: float | None = None     # a frame's time from guest to guest
    p99_us: float | None = None
    guest: dict = dataclasses.field(default_factory=dict)

    def is_quiet(self):
        return self.quiet >= max(3, self.windows // 3) and self.state is not None


class Bench:
    """The means that all runs share."""

    def __init__(self, build, windows):
        self.build = build
        self.windows = windows
        self.base = tempfile.mkdtemp(prefix='zc-bench-')
        self.probe = noise.Probe(build, (CPU_GUEST, CPU_SWITCH))
        self.rates = {}     # frames a second of cells that are run at a part of another's

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)

    def run(self, kind, cell):
        """@return Run. Raises Failed, or NotImplementedError when the peer can't do the cell."""
        folder = tempfile.mkdtemp(dir=self.base)
        switch = kind(cell, folder, self.build)
        guests = []
        before = self.probe.take()
        try:
            switch.start()
            guests = self.connect(switch, cell)
            run = self.watch(switch, guests)
            run.guest.update(guests[0].stop())
            run.p50_us, run.p99_us = run.guest.get('p50_us'), run.guest.get('p99_us')
        finally:
            for guest in guests:
                if guest.process.poll() is None:
                    guest.process.kill()
                    guest.process.wait()
            switch.stop()
            shutil.rmtree(folder, ignore_errors=True)
        run.state = self.probe.state(before, self.probe.take())
        return run

    def connect(self, switch, cell):
        """The guests of a cell; the busy one, or the pair, is the first of the list and starts last."""
        busy = 2 if cell.way == 'guests' else 1
        idle = [machines.single(self.build, path, 'idle', cell) for path in switch.sockets[busy:]]
        try:
            if idle:
                time.sleep(0.3 + 0.02 * len(idle))
            for guest in idle:
                guest.check()
                guest.freeze()
            if cell.half:
                return [machines.paced(self.build, switch.sockets[0], switch.sockets[busy - 1], cell,
                                       self.rates[cell]), *idle]
            if cell.way in ('guests', 'both', 'trip'):
                return [machines.pair(self.build, switch.sockets[0], switch.sockets[busy - 1], cell), *idle]
            mode = 'flood' if cell.way == 'out' else 'sink'
            return [machines.single(self.build, switch.sockets[0], mode, cell), *idle]
        except BaseException:
            for guest in idle:
                guest.process.kill()
                guest.process.wait()
            raise

    def watch(self, switch, guests):
        wait_for_frames(switch, guests)
        time.sleep(WARM_SECONDS)
        taken = [self.window(switch) for _ in range(self.windows)]
        guests[0].check()
        taken = [w for w in taken if w]
        quiet = [w for w in taken if w['quiet']] or taken
        if not quiet:
            raise Failed(f'{switch.name}: no frame was delivered')
        run = Run(windows=self.windows, quiet=sum(w['quiet'] for w in taken))
        for key in ('cycles', 'pps', 'lost', 'no_copy'):
            setattr(run, key, statistics.median(w[key] for w in quiet))
        return run

    @staticmethod
    def window(switch):
        """@return a dict, or None when nothing was delivered."""
        waited, stolen = switch.waited(), noise.stolen(CPU_SWITCH)
        a, start = switch.counters(), time.monotonic()
        time.sleep(WINDOW_SECONDS)
        b, seconds = switch.counters(), time.monotonic() - start
        waited, stolen = switch.waited() - waited, noise.stolen(CPU_SWITCH) - stolen
        frames = b.frames - a.frames
        if frames <= 0:
            return None
        return {
            'cycles': (b.cycles - a.cycles) / frames,
            'pps': frames / seconds,
            'lost': (b.lost - a.lost) / (b.lost - a.lost + frames),
            'no_copy': (b.no_copy - a.no_copy) / frames,
            'quiet': waited <= noise.WAITED_MOST * seconds * 1e9 and stolen == 0,
        }


def wait_for_frames(switch, guests):
    end = time.monotonic() + 10
    first = switch.counters().frames
    while switch.counters().frames - first < 100:
        guests[0].check()
        if time.monotonic() > end:
            raise switch.complaint('no frame came through')
        time.sleep(0.01)


class Progress:
    """One line a run on stderr, with the time left."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.monotonic()

    def step(self, text):
        self.done += 1
        each = (time.monotonic() - self.start) / self.done
        left = max(0, self.total - self.done) * each
        print(f'[{self.done}/{self.total}] {text}, {left // 60:.0f}:{left % 60:02.0f} left', file=sys.stderr,
              flush=True)


def good_runs(peers):
    """{peer: its quiet runs in the state of the machine that all peers share best}, and that state."""
    quiet = {p: [r for r in runs if r.is_quiet()] for p, runs in peers.items()}
    state = noise.common_state([[r.state for r in runs] for runs in quiet.values()])
    return {p: [r for r in runs if noise.is_alike(r.state, state)] for p, runs in quiet.items()}, state


def good_rounds(good):
    """Rounds in which the runs of all peers are good."""
    return set.intersection(*({r.round for r in runs} for runs in good.values())) if good else set()


def one_run(bench, cell, kind, number, peers, failures, progress):
    if kind.name in failures:
        progress.step(f'{cell.name} {kind.name}: left out')
        return
    try:
        run = bench.run(kind, cell)
    except (Failed, NotImplementedError) as why:
        failures[kind.name] = str(why)
        del peers[kind.name]
        progress.step(f'{cell.name} {kind.name}: {why}')
        return
    run.round = number
    peers[kind.name].append(run)
    state = f'state {run.state:.0f}' if run.state else 'changing state'
    progress.step(f'{cell.name} {kind.name}: {run.cycles:.1f} cycles, {run.quiet} of {run.windows} windows quiet, '
                  f'{state}')


def half_rate(bench, cell, kind, results):
    """Half of what the first peer managed in the whole cell; remembered. @return whether there is one"""
    runs = results.get(cell.whole(), {}).get(kind.name)
    if runs:
        # The switch counts a frame on its way out and on its way home.
        bench.rates[cell] = int(statistics.median(r.pps for r in runs) / 2 / 2)
    return bool(runs)


def measure_cell(bench, cell, kinds, rounds, again, end, results, failures, progress):
    if cell.half and not half_rate(bench, cell, kinds[0], results):
        failures[cell] = {k.name: f'no figure for {cell.whole().name} to take half of' for k in kinds}
        return
    peers = results[cell] = {k.name: [] for k in kinds}
    failures[cell] = {}
    for number in range(rounds + again):
        enough = len(good_rounds(good_runs(peers)[0])) >= rounds
        if number >= rounds and (enough or time.monotonic() > end):
            break
        progress.total += len(kinds) if number >= rounds else 0
        for kind in kinds:
            one_run(bench, cell, kind, number, peers, failures[cell], progress)


def measure(bench, cells, kinds, rounds, again, limit):
    """All cells with all peers, taking turns: {cell: {peer: [Run]}}, and {cell: {peer: why not}}.

    Where noise left too few runs of one state, there are more rounds, again at most, and none after
    limit seconds. Interrupted, it gives what there is.
    """
    end = time.monotonic() + limit
    results, failures = {}, {}
    progress = Progress(len(cells) * len(kinds) * rounds)
    try:
        for cell in cells:
            measure_cell(bench, cell, kinds, rounds, again, end, results, failures, progress)
    except KeyboardInterrupt:
        print('bench: interrupted', file=sys.stderr)
    return results, failures
