# SPDX-License-Identifier: BSD-3-Clause
"""From runs to figures: medians with spread, ratios that hold or don't, JSON and Markdown."""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import time

import cells
import runs as running

RUNS_LEAST = 5
# What a run gives that may be compared, with its text.
FIGURES = {'cycles': 'cycles a frame', 'p50_us': 'us, half of the frames within',
           'p99_us': 'us, 99 of 100 frames within'}


def summary(good, tried, size):
    """None when there are too few."""
    if len(good) < RUNS_LEAST:
        return None
    cycles = sorted(r.cycles for r in good)

    def middle(key):
        found = [r.guest[key] for r in good if key in r.guest]
        return statistics.median(found) if found else None

    return {
        'runs': len(good), 'set_aside': tried - len(good),
        'cycles': statistics.median(cycles), 'least': cycles[0], 'most': cycles[-1],
        'cycles_per_byte': statistics.median(cycles) / size,
        'pps': statistics.median(r.pps for r in good),
        'lost': statistics.median(r.lost for r in good),
        'no_copy': statistics.median(r.no_copy for r in good),
        'guest_cycles': middle('busy_cycles_per_chain'),
        'p50_us': middle('p50_us'), 'p99_us': middle('p99_us'),
        'kicks_per_1000': middle('kicks_per_1000'), 'interrupts_per_1000': middle('calls_per_1000'),
        'state': statistics.median(r.state for r in good),
        'by_round': {f: {str(r.round): round(getattr(r, f), 3) for r in good} for f in FIGURES
                     if all(getattr(r, f) is not None for r in good)},
    }


def ratio(peer, beside, figure='cycles'):
    """Of runs of the same round, taken one after the other; None when there are too few."""
    a, b = (x['by_round'].get(figure, {}) for x in (peer, beside))
    each = sorted(v / b[n] for n, v in a.items() if b.get(n))
    if len(each) < RUNS_LEAST:
        return None
    return {'median': statistics.median(each), 'least': each[0], 'most': each[-1]}


def ratio_text(peer, beside, figure='cycles'):
    r = ratio(peer, beside, figure) if peer and beside else None
    return f"{r['median']:.2f} ({r['least']:.2f}..{r['most']:.2f})" if r else '-'


SCALE_LEAST = 1.9


def scaling(build):
    """[{cell, times}]: what two threads do together, of what one does; queues on the heap. [] on one core"""
    if os.cpu_count() < 2:
        return []
    done = subprocess.run([os.path.join(build, 'test/bench/hot'), 'scale'], capture_output=True, text=True,
                          check=True)
    return [json.loads(row) for row in done.stdout.strip().split('\n')]


def judge_scaling(found):
    verdicts = []
    for one in found:
        times = sorted(one['times'])
        what = 'holds' if times[0] >= SCALE_LEAST else 'broken' if times[-1] < SCALE_LEAST else 'unclear'
        verdicts.append((f"{one['cell']} on the heap: two workers with a queue each at least {SCALE_LEAST} of one",
                         what, f'{statistics.median(times):.2f} ({times[0]:.2f}..{times[-1]:.2f})'))
    return verdicts


def collect(results, failures):
    """{cell name: {peer: summary}}, what failed, and where it was too noisy to tell."""
    measured, noisy = {}, {}
    for cell, peers in results.items():
        measured[cell.name] = {}
        good, _ = running.good_runs(peers)
        for peer, tried in peers.items():
            found = summary(good[peer], len(tried), cell.size)
            if found:
                measured[cell.name][peer] = found
                continue
            if tried:
                noisy.setdefault(cell.name, {})[peer] = {
                    'good': len(good[peer]), 'runs': len(tried),
                    'noisy_cycles': statistics.median(r.cycles for r in tried)}
    failed = {c.name: f for c, f in failures.items() if f}
    return {'cells': measured, 'noisy': noisy, 'failed': failed}


def machine(probe):
    def first(path, key):
        with open(path, encoding='utf-8') as f:
            return next((r.split(':', 1)[1].strip() for r in f if r.startswith(key)), '')

    def said(*argv):
        try:
            return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            return ''

    return {
        'cpu': first('/proc/cpuinfo', 'model name'), 'cpus': os.cpu_count(),
        'kernel': platform.release(),
        'dpdk': said('pkg-config', '--modversion', 'libdpdk'),
        'march': next((w for w in said('pkg-config', '--cflags', 'libdpdk').split()
                       if w.startswith('-march')), ''),
        'compiler': said('cc', '-dumpfullversion'),
        'probe': probe.best, 'time': time.strftime('%Y-%m-%d %H:%M'),
    }


def cell_text(found):
    if found is None:
        return '-'
    return f"{found['cycles']:.1f} ({found['least']:.1f}..{found['most']:.1f})"


def rows_of(head, rows):
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in [head, ['---'] * len(head), *rows])


def throughput(got):
    if got is None:
        return '-'
    lost = f" ({100 * got['lost']:.1f} % lost)" if got['lost'] >= 0.001 else ''
    return f"{got['pps'] / 1e6:.2f}{lost}"


def table(data, peers):
    """Markdown: cycles a frame on the switch's core, and the ratio to the first peer."""
    base = peers[0]
    head = ['cell', 'state', *peers] + [f'{p} / {base}' for p in peers[1:]] + [f'Mpps {p}' for p in peers]
    if 'zcnet' in peers:
        head += ['zcnet cycles a byte', 'without copy']
    rows = []
    for name, found in data['cells'].items():
        row = [name, next((f"{f['state']:.0f}" for f in found.values()), '-')]
        row += [cell_text(found.get(p)) for p in peers]
        row += [ratio_text(found.get(p), found.get(base)) for p in peers[1:]]
        row += [throughput(found.get(p)) for p in peers]
        if 'zcnet' in peers:
            z = found.get('zcnet')
            row += [f"{z['cycles_per_byte']:.4f}", f"{100 * z['no_copy']:.0f} %"] if z else ['-', '-']
        rows.append(row)
    return rows_of(head, rows)


def latency_table(data):
    """Markdown, or '' when nothing was sent at a rate."""
    rows = []
    for name, found in data['cells'].items():
        for peer, f in found.items():
            if f['p99_us'] is not None:
                rows.append([name, peer, f"{f['pps'] / 2e6:.2f}", f"{f['p50_us']:.1f}", f"{f['p99_us']:.1f}",
                             f"{f['kicks_per_1000']:.2f}", f"{f['interrupts_per_1000']:.1f}"])
    head = ['cell', 'peer', 'Mpps', 'p50 us', 'p99 us', 'kicks per 1000', 'interrupts per 1000']
    return 'Frames sent at half the rate that the first peer manages, out and home:\n\n' + rows_of(head, rows) \
        if rows else ''


def verdict_table(verdicts):
    rows = [[verdict, str(bound), text] for bound, verdict, text in verdicts]
    return rows_of(['', 'bound', 'found: median (least..most)'], rows)


def markdown(data):
    m = data['machine']
    parts = [
        'Cycles a frame on the switching core, completion included: median (least..most) of '
        f"{data['rounds']} or more runs, peers taking turns; ratios of neighbouring runs. "
        f"{m['cpu']}, {m['cpus']} cores, kernel {m['kernel']}, "
        f"DPDK {m['dpdk']}, {m['march']}, gcc {m['compiler']}, {m['time']}. State: cycles of a cache "
        'line to the other core and back.', '', table(data, data['peers'])]
    if latency_table(data):
        parts += ['', latency_table(data)]
    verdicts = all_verdicts(data)
    if verdicts:
        parts += ['', verdict_table(verdicts)]
    for name, peers in data['noisy'].items():
        for peer, what in peers.items():
            parts += ['', f"{name}, {peer}: too noisy to tell: {what['good']} of {what['runs']} runs were quiet "
                      f"and alike; their median, for what it is worth: {what['noisy_cycles']:.1f}"]
    for name, peers in data['failed'].items():
        for peer, why in peers.items():
            parts += ['', f'{name}, {peer}: left out: {why}']
    return '\n'.join(parts) + '\n'


def plot(data, folder):
    """Cycles by size, one SVG a way, if gnuplot is there. @return whether it is"""
    if not shutil.which('gnuplot'):
        return False
    for way in ('out', 'in', 'guests'):
        rows = {}
        for name, found in data['cells'].items():
            # The plain cells: out/1518, out/9000x6.
            match = re.fullmatch(way + r'/(\d+)(?:x\d+)?', name)
            if match:
                rows[int(match[1])] = found
        if len(rows) > 1:
            draw(way, sorted(rows.items()), data['peers'], os.path.join(folder, f'bench-{way}.svg'))
    return True


def draw(way, rows, peers, path):
    lines = ['set terminal svg size 800,500', f'set output "{path}"', 'set logscale xy 2', 'set key left top',
             'set grid', f'set title "{way}: cycles a frame on the switching core"', 'set xlabel "bytes"']
    for i, peer in enumerate(peers):
        points = [(size, found[peer]) for size, found in rows if peer in found]
        lines.append(f'$p{i} << EOD')
        lines += [f"{size} {f['cycles']} {f['least']} {f['most']}" for size, f in points]
        lines.append('EOD')
    lines.append('plot ' + ', '.join(f'$p{i} using 1:2:3:4 with yerrorlines title "{p}"'
                                     for i, p in enumerate(peers) if any(p in f for _, f in rows)))
    subprocess.run(['gnuplot'], input='\n'.join(lines), text=True, check=False)


def verdict(r, bound, peer, beside):
    if r is None:
        return 'unclear'
    if r['least'] > bound.most:
        return 'broken'
    if r['most'] > bound.most:
        return 'unclear'
    # Cheap because it idles is no merit, where both had all the frames they could take.
    if bound.figure == 'cycles' and not bound.other_cell and peer['pps'] <= 0.98 * beside['pps']:
        return 'broken'
    return 'holds'


def judge(data, bounds):
    """[(bound, verdict, text)] of those whose cells were measured; a ratio counts only with its whole spread."""
    asked = set(data['cells']) | set(data['noisy'])
    found = []
    for b in bounds:
        if {b.cell, b.beside_cell} - asked or {b.peer, b.beside} - set(data['peers']):
            continue
        peer = data['cells'].get(b.cell, {}).get(b.peer)
        beside = data['cells'].get(b.beside_cell, {}).get(b.beside)
        r = ratio(peer, beside, b.figure) if peer and beside else None
        text = ratio_text(peer, beside, b.figure) if r else 'too few quiet runs'
        what = verdict(r, b, peer, beside)
        if what == 'broken' and r['most'] <= b.most:
            text += ', but fewer frames a second'
        found.append((b, what, text))
    return found


def all_verdicts(data):
    return judge(data, cells.BOUNDS) + judge_scaling(data.get('scaling', []))


def compare(a, b):
    """Markdown: the cells that both have."""
    rows = ['| cell | peer | before | after | after / before |', '|' + ' --- |' * 5]
    for name, peers in a['cells'].items():
        for peer, was in peers.items():
            now = b['cells'].get(name, {}).get(peer)
            if now:
                apart = now['most'] < was['least'] or now['least'] > was['most']
                rows.append(f"| {name} | {peer} | {cell_text(was)} | {cell_text(now)} | "
                            f"{now['cycles'] / was['cycles']:.2f}{' *' if apart else ''} |")
    return '\n'.join(rows) + '\n\n\\* the spreads do not overlap\n'


DOC_HEAD = """# Performance

What a frame costs, beside the peers, on one machine at one time. Written by `./dev bench --doc`; how it is measured,
what a cell's name means and when a figure counts stands in [test/bench/README.md](../test/bench/README.md). A bound
whose whole spread is not on one side of it is unclear; nothing is said where the machine was too noisy.

"""


def document(data, folder):
    """Write FOLDER/performance.md, with the data it was made from beside it."""
    with open(os.path.join(folder, 'performance.json'), 'w', encoding='utf-8') as f:
        json.dump(data, f, indent=1)
        f.write('\n')
    with open(os.path.join(folder, 'performance.md'), 'w', encoding='utf-8') as f:
        f.write(DOC_HEAD + markdown(data))


def load(path):
    with open(path, encoding='utf-8') as f:
        return json.load(f)
