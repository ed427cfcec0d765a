#!/usr/bin/python3 -B
# SPDX-License-Identifier: BSD-3-Clause
"""Search with libFuzzer: ./dev fuzz [TARGET [SECONDS]]

    TARGET   one of them, or 'all' (default), two at a time
    SECONDS  for each target (default 60)

    ./dev fuzz --keep TARGET   reduces what was found so far to the fewest inputs that reach the
                               same code, as test/fuzz/corpus/TARGET

Programs are built by clang with ASan and UBSan into build-fuzz. What a search learns stays in
build-fuzz/corpus, an input that breaks something in build-fuzz/findings; executions are added to
the table in doc/fuzz.md.
"""

import concurrent.futures
import datetime
import os
import random
import re
import shutil
import subprocess
import sys

ROOT = os.environ.get('ZC_ROOT') or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.environ.get('ZC_BUILD', os.path.join(ROOT, 'build')) + '-fuzz'
CORPUS = os.path.join(ROOT, 'test', 'fuzz', 'corpus')
TARGETS = sorted(os.listdir(CORPUS))
DOC = os.path.join(ROOT, 'doc', 'fuzz.md')
SANITIZERS = {
    # What is freed is kept for longer than an input lasts, and yet stays in the cache.
    'ASAN_OPTIONS': 'detect_leaks=1:quarantine_size_mb=4:malloc_context_size=12',
    'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1',
}
INTERRUPTED = 72  # libFuzzer's exit status when a signal ends it; what it did counts
# The entropic schedule costs more than the targets do.
OPTIONS = ['-entropic=0', '-max_len=512', '-timeout=20', '-rss_limit_mb=3000', '-reload=0',
           '-print_final_stats=1']


def build():
    if not os.path.exists(os.path.join(BUILD, 'build.ninja')):
        subprocess.run(['meson', 'setup', BUILD, ROOT, '--buildtype=debugoptimized',
                        '-Dfuzz=true', '-Dhardening=false', '-Db_sanitize=address,undefined',
                        '-Db_lundef=false'],
                       env=dict(os.environ, CC='clang'), check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', BUILD, *(f'test/fuzz/fuzz_{t}' for t in TARGETS)], check=True,
                   stdout=subprocess.DEVNULL)


def words(target):
    """What most inputs need, for targets that have such a list."""
    path = os.path.join(ROOT, 'test', 'fuzz', 'dict', target)
    return [f'-dict={path}'] if os.path.exists(path) else []


def options(target):
    """What is freed in the next input looks leaked, and is looked for at the end alone."""
    return OPTIONS + words(target) + (['-detect_leaks=0'] if target == 'messages' else [])


def run(target, arguments, log):
    """Run a target's program; return its exit status."""
    with open(log, 'w') as out:
        return subprocess.run([os.path.join(BUILD, 'test', 'fuzz', 'fuzz_' + target), *arguments],
                              env=dict(os.environ, **SANITIZERS), stdout=subprocess.DEVNULL,
                              stderr=out, stdin=subprocess.DEVNULL, check=False).returncode


def number(pattern, text, default=0):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else default


class Search:
    """One run of one target."""

    def __init__(self, target, seconds, corpus):
        self.target = target
        self.seed = random.randrange(1, 1 << 32)
        findings = os.path.join(BUILD, 'findings')
        os.makedirs(findings, exist_ok=True)
        os.makedirs(corpus, exist_ok=True)
        log = os.path.join(findings, target + '.log')
        status = run(target, [*options(target), f'-seed={self.seed}', f'-max_total_time={seconds}',
                              f'-artifact_prefix={findings}/{target}-', corpus,
                              os.path.join(CORPUS, target)], log)
        with open(log, errors='replace') as f:
            text = f.read()
        self.executions = number(r'stat::number_of_executed_units: +(\d+)', text)
        self.edges = number(r' cov: (\d+)', text)
        self.finding = None
        if status not in (0, INTERRUPTED):
            inputs = re.findall(r'Test unit written to (\S+)', text)
            self.finding = f'{inputs[-1] if inputs else "no input"}, output in {log}'

    def __str__(self):
        text = f'{self.target:<10} {self.executions:>10} executions, {self.edges} edges, seed {self.seed}'
        return text + (f'\n{self.target:<10} FINDING: {self.finding}' if self.finding else '')


def search(targets, seconds, corpus):
    """Search two at a time, and give each as it ends; corpus(target) keeps what it learns."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(Search, t, seconds, corpus(t)) for t in targets]
        for job in concurrent.futures.as_completed(jobs):
            print(job.result(), flush=True)
            yield job.result()


def versions():
    def line(*command):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                              check=False).stdout.split('\n')[0]
    return (f'zcnet {line("git", "rev-parse", "--short", "HEAD")}, '
            f'DPDK {line("pkg-config", "--modversion", "libdpdk")}, '
            f'{line("clang", "--version")}')


def record(r):
    """Add executions to the target's row of the table."""
    with open(DOC) as f:
        lines = f.read().split('\n')
    today = datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d')
    for i, line in enumerate(lines):
        cells = [c.strip() for c in line.split('|')]
        if len(cells) > 3 and cells[1] == f'`{r.target}`':
            total = int(cells[3].replace(',', '')) + r.executions
            cells[3:7] = [f'{total:,}', str(r.edges), f'{today}, seed {r.seed}', versions()]
            lines[i] = ' '.join(('|'.join(f' {c} ' if c else '' for c in cells)).split())
    with open(DOC, 'w') as f:
        f.write('\n'.join(lines))


def learned(target):
    return os.path.join(BUILD, 'corpus', target)


def keep(target):
    """The fewest inputs that reach all the code reached so far, beside those that have a name."""
    few = os.path.join(BUILD, 'few', target)
    shutil.rmtree(few, ignore_errors=True)
    os.makedirs(few)
    log = os.path.join(BUILD, 'few', target + '.log')
    os.makedirs(learned(target), exist_ok=True)
    status = run(target, ['-merge=1', '-use_counters=0', few, os.path.join(CORPUS, target),
                          learned(target)], log)
    if status != 0 or not os.listdir(few):
        sys.exit(f'fuzz: {target}: merging failed, see {log}')
    for name in os.listdir(os.path.join(CORPUS, target)):
        if re.fullmatch('[0-9a-f]{12}', name):
            os.remove(os.path.join(CORPUS, target, name))
    for name in os.listdir(few):
        shutil.copy(os.path.join(few, name), os.path.join(CORPUS, target, name[:12]))
    print(f'{target}: {len(os.listdir(few))} inputs')


def main(arguments):
    keeps = arguments[:1] == ['--keep']
    if keeps:
        arguments = arguments[1:]
    target = arguments[0] if arguments else 'all'
    seconds = arguments[1] if len(arguments) > 1 else '60'
    if len(arguments) > 2 or target not in TARGETS + ['all'] or not seconds.isdigit():
        sys.exit(f'{__doc__}\nTargets: {" ".join(TARGETS)}')
    targets = TARGETS if target == 'all' else [target]
    build()
    if keeps:
        for t in targets:
            keep(t)
        return 0
    found = False
    for r in search(targets, seconds, learned):
        record(r)
        found |= r.finding is not None
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
