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

import runs as running

RUNS_LEAST = 5


def summary(good, tried):
    """None when there are too few."""
    if len(good) < RUNS_LEAST:
        return None
    cycles = sorted(r.cycles for r in good)
    return {
        'runs': len(good), 'set_aside': tried - len(good),
        'cycles': statistics.median(cycles), 'least': cycles[0], 'most': cycles[-1],
        'pps': statistics.median(r.pps for r in good),
        'lost': statistics.median(r.lost for r in good),
        'no_copy': statistics.median(r.no_copy for r in good),
        'guest_cycles': statistics.median(r.guest.get('busy_cycles_per_chain', 0) for r in good),
        'state': statistics.median(r.state for r in good),
        'by_round': {str(r.round): r.cycles for r in good},
    }


def ratio(peer, beside):
    """Of runs of the same round, taken one after the other; None when there are too few."""
    each = sorted(c / beside['by_round'][n] for n, c in peer['by_round'].items() if n in beside['by_round'])
    if len(each) < RUNS_LEAST:
        return None
    return {'median': statistics.median(each), 'least': each[0], 'most': each[-1]}


def ratio_text(peer, beside):
    r = ratio(peer, beside) if peer and beside else None
    return f"{r['median']:.2f} ({r['least']:.2f}..{r['most']:.2f})" if r else '-'


def collect(results, failures):
    """{cell name: {peer: summary}}, what failed, and where it was too noisy to tell."""
    cells, noisy = {}, {}
    for cell, peers in results.items():
        cells[cell.name] = {}
        good, _ = running.good_runs(peers)
        for peer, tried in peers.items():
            found = summary(good[peer], len(tried))
            if found:
                cells[cell.name][peer] = found
                continue
            noisy.setdefault(cell.name, {})[peer] = {
                'good': len(good[peer]), 'runs': len(tried),
                'noisy_cycles': statistics.median(r.cycles for r in tried) if tried else None}
    failed = {c.name: f for c, f in failures.items() if f}
    return {'cells': cells, 'noisy': noisy, 'failed': failed}


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


def table(data, peers):
    """Markdown: cycles a frame on the switch's core, and the ratio to the first peer."""
    base = peers[0]
    head = ['cell', 'state', *peers] + [f'{p} / {base}' for p in peers[1:]] + [f'Mpps {p}' for p in peers]
    rows = ['| ' + ' | '.join(head) + ' |', '|' + ' --- |' * len(head)]
    for name, found in data['cells'].items():
        row = [name, next((f"{f['state']:.0f}" for f in found.values()), '-')]
        row += [cell_text(found.get(p)) for p in peers]
        row += [ratio_text(found.get(p), found.get(base)) for p in peers[1:]]
        for p in peers:
            got = found.get(p)
            text = '-' if got is None else f"{got['pps'] / 1e6:.2f}"
            if got and got['lost'] >= 0.001:
                text += f" ({100 * got['lost']:.1f} % lost)"
            row.append(text)
        rows.append('| ' + ' | '.join(row) + ' |')
    return '\n'.join(rows)


def markdown(data):
    m = data['machine']
    parts = [
        'Cycles a frame on the switching core, completion included: median (least..most) of '
        f"{data['rounds']} or more runs, peers taking turns; ratios of neighbouring runs. "
        f"{m['cpu']}, {m['cpus']} cores, kernel {m['kernel']}, "
        f"DPDK {m['dpdk']}, {m['march']}, gcc {m['compiler']}, {m['time']}. State: cycles of a cache "
        'line to the other core and back.', '', table(data, data['peers'])]
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


def judge(data, bounds):
    """[(bound, 'holds' | 'broken' | 'unclear', text)]; a ratio counts only with its whole spread."""
    verdicts = []
    for b in bounds:
        found = data['cells'].get(b.cell, {})
        peer, beside = found.get(b.peer), found.get(b.beside)
        r = ratio(peer, beside) if peer and beside else None
        text = ratio_text(peer, beside)
        if r is None:
            verdicts.append((b, 'unclear', 'too few quiet runs'))
        elif r['least'] > b.most:
            verdicts.append((b, 'broken', text))
        elif r['most'] > b.most:
            verdicts.append((b, 'unclear', text))
        elif peer['pps'] <= beside['pps']:
            verdicts.append((b, 'broken', text + ', but fewer frames a second'))
        else:
            verdicts.append((b, 'holds', text))
    return verdicts


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


def load(path):
    with open(path, encoding='utf-8') as f:
        return json.load(f)
