# SPDX-License-Identifier: BSD-3-Clause
"""A long run in pieces: each is a row in its section of doc/soak.md, with their sum below."""
import datetime
import os
import re
import subprocess
import sys
import time

ROOT = os.environ['ZC_ROOT']
DOC = os.path.join(ROOT, 'doc', 'soak.md')
sys.path.insert(0, os.path.join(ROOT, 'test', 'functional'))
sys.dont_write_bytecode = True

HEAD = '# Long runs\n\nThe last run of each, written by `./dev soak NAME`.\n\n'


def output(*argv):
    return subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, check=True,
                          text=True).stdout.strip()


def versions():
    release = os.uname().release.split('-')[0]
    return (f'DPDK {output("pkg-config", "--modversion", "libdpdk")}, '
            f'{output("cc", "--version").splitlines()[0]},\nLinux {os.uname().machine} {release}.')


def sections():
    """The document as a list of (name, text)."""
    if not os.path.exists(DOC):
        return []
    with open(DOC) as doc:
        parts = re.split(r'^## (\S+)\n', doc.read(), flags=re.M)
    return [(name, text.strip()) for name, text in zip(parts[1::2], parts[2::2])]


def write(name, text):
    """This section anew, the others as they are."""
    kept = [part for part in sections() if part[0] != name] + [(name, text)]
    with open(DOC, 'w') as doc:
        doc.write(HEAD + '\n\n'.join(f'## {part}\n\n{body}' for part, body in kept) + '\n')


def cells(name, first):
    """The rows of its table, but for heading, line and sum."""
    old = dict(sections()).get(name, '')
    rows = re.findall(r'^\| (.*) \|$', old, flags=re.M)
    return [row.split(' | ') for row in rows if not row.startswith(('sum ', '---', first + ' '))]


def lines(*rows):
    return '\n'.join('| ' + ' | '.join(map(str, row)) + ' |' for row in rows)


def total(column, numbers):
    return max(numbers) if column.startswith(('longest', 'most')) else sum(numbers)


def table(name, columns, row, texts=3):
    """Rows of earlier pieces, this one, and the sum of all columns behind the first texts.

    Where a column is newer than a row there is a line.
    """
    earlier = cells(name, columns[0])
    rows = [line + ['-'] * (len(columns) - len(line)) for line in
            (*earlier, [str(cell) for cell in row])]
    sums = ['sum'] + [''] * (texts - 1) + [
        total(columns[i], [int(line[i]) for line in rows if line[i] != '-'])
        for i in range(texts, len(columns))]
    return lines(columns, ['---'] * len(columns), *rows, sums)


def main(name, test, unit, what):
    """usage: ./dev soak NAME [COUNT [SEED]]"""
    import rig as r     # of the functional tests, which others have one of their own beside
    count = int(sys.argv[1]) if sys.argv[1:] else 1000
    seed = int(sys.argv[2]) if sys.argv[2:] else int.from_bytes(os.urandom(4), 'big')
    del sys.argv[1:]                # to the rig they would be names of tests
    print(f'{name} {count} {seed}', flush=True)
    begin = time.monotonic()
    result = {}
    r.main(lambda rig: result.update(test(rig, count, seed)))
    print(result)
    row = [output('git', 'rev-parse', '--short', 'HEAD'), datetime.date.today(), seed, count,
           round(time.monotonic() - begin), result['sent'], result['received'], result['guest1'],
           result['gap_us'], result['rss']]
    columns = ['commit', 'day', 'seed', unit, 'seconds', 'frames sent', 'received', 'guest1 sent',
               'longest gap, us', 'most growth, kB']
    write(name, f'{what}\n\n{versions()} One row a run of `./dev soak {name} {unit.upper()} SEED`, '
          f'all passed.\n\n{table(name, columns, row)}')
