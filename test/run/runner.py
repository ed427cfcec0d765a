#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run test suites, one line a test, and close with the counts.

Two kinds of suite. The unit suites are meson's: each test that meson runs counts as one. All
others are folders test/SUITE whose executables t_* are one test each: exit status 0 passes, 77
skips (something is missing that ./dev setup can install), 78 skips (this machine cannot have it),
anything else fails. The last line on stdout says what was missing.

A test runs in a session and an empty folder of its own, and the runner adopts whatever it leaves
running, so that at its end every process is gone, daemons included.
"""

import argparse
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITES = ['lint', 'docs', 'unit', 'unit-asan', 'unit-tsan', 'fuzz', 'functional', 'model', 'qemu',
          'nicvm', 'compat']

# A sanitizer's own build folder, the meson suite it runs and how. werror is off because gcc warns
# falsely in instrumented code.
SANITIZERS = {
    'unit-asan': ('unit-heap', 'address,undefined', {
        'ASAN_OPTIONS': 'detect_leaks=1:abort_on_error=1',
        'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1:abort_on_error=1'}),
    'unit-tsan': ('unit-tsan', 'thread', {'TSAN_OPTIONS': 'halt_on_error=1'}),
}

DEFAULT_TIMEOUT = 180
EXIT_SKIP = 77          # setup could install it: a failure when CI=true
EXIT_SKIP_ALWAYS = 78   # this machine cannot have it
GRACE = 5               # seconds between SIGTERM and SIGKILL
LOG_LINES_SHOWN = 200

PR_SET_CHILD_SUBREAPER = 36


class Stop(Exception):
    """A signal asked the run to end."""

    signum = 0      # that signal
    held = False    # clean-up is going on, which nothing may cut short


def on_signal(signum, _frame):
    Stop.signum = Stop.signum or signum
    if not Stop.held:
        Stop.held = True
        raise Stop


@contextlib.contextmanager
def clean_up():
    """A block that a signal does not interrupt; the run ends after it."""
    Stop.held = True
    try:
        yield
    finally:
        Stop.held = Stop.signum != 0
    if Stop.signum and not sys.exc_info()[0]:
        raise Stop


class Results:
    """The counts, and one line a test as it ends."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.strict = os.environ.get('CI') == 'true'
        self.tty = sys.stdout.isatty()

    def begin(self, suite, name):
        if self.tty:
            print(f'{suite:<11} {name:<44} ...', end='\r', flush=True)

    def end(self, suite, name, status, seconds, reason='', log=None, note=''):
        if status == EXIT_SKIP and self.strict:
            status, reason = 1, f'skipped, which CI does not allow: {reason}'
        if status == 0:
            self.passed += 1
            word = 'ok'
        elif status in (EXIT_SKIP, EXIT_SKIP_ALWAYS):
            self.skipped += 1
            word = 'skip'
        else:
            self.failed += 1
            self.failures.append(f'{suite}/{name}')
            word = 'FAIL'
        tail = '  '.join(t for t in (reason, note) if t)
        print(f'{suite:<11} {name:<44} {word:<4} {seconds:6.1f} s  {tail}'.rstrip(), flush=True)
        if word == 'FAIL' and log:
            show_log(log)

    def close(self):
        if self.failures:
            print('failed: ' + ' '.join(self.failures))
        print(f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped', flush=True)
        return 1 if self.failed else 0


def show_log(path):
    try:
        with open(path, errors='replace') as f:
            lines = f.read().splitlines()
    except OSError:
        return
    print(f'  ---- {os.path.relpath(path, ROOT)}')
    if len(lines) > LOG_LINES_SHOWN:
        print(f'  | ({len(lines) - LOG_LINES_SHOWN} lines before)')
    for line in lines[-LOG_LINES_SHOWN:]:
        print(f'  | {line}')
    print('  ----', flush=True)


# Processes ------------------------------------------------------------------------------------

def children():
    """{pid: name} of this process's children, adopted ones included."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat') as f:
                head, rest = f.read().rsplit(')', 1)
        except OSError:
            continue
        state, ppid = rest.split()[:2]
        if int(ppid) == os.getpid() and state != 'Z':
            found[int(pid)] = head.split('(', 1)[1]
    return found


def reap():
    """Collect every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def quietly_kill(kill, pid, sig):
    try:
        kill(pid, sig)
    except (ProcessLookupError, PermissionError):
        pass


def end_strays():
    """End all that is still running below this process; return the names of what there was.

    Killing a process hands us its children, hence the rounds.
    """
    names = []
    reap()
    if children():
        time.sleep(0.2)     # one that is just ending is no stray
    deadline = time.monotonic() + GRACE
    sig = signal.SIGTERM
    told = set()
    while True:
        reap()
        left = children()
        if not left or time.monotonic() > deadline + GRACE:
            return names
        for pid, name in left.items():
            if pid not in told:
                names.append(name)
                told.add(pid)
                quietly_kill(os.kill, pid, signal.SIGTERM)
            elif sig == signal.SIGKILL:
                quietly_kill(os.kill, pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            sig = signal.SIGKILL
        time.sleep(0.05)


def end_group(proc):
    """End a test that runs still: its group first, politely, so that its traps clean up."""
    if proc.poll() is not None:
        return
    quietly_kill(os.killpg, proc.pid, signal.SIGTERM)
    try:
        proc.wait(GRACE)
    except subprocess.TimeoutExpired:
        quietly_kill(os.killpg, proc.pid, signal.SIGKILL)
        proc.wait()


def run_session(args, log, timeout, cwd, env):
    """Run args with its output in log; return (status, seconds, note), status None on timeout."""
    start = time.monotonic()
    note = ''
    with open(log, 'wb') as out:
        proc = subprocess.Popen(args, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = proc.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with clean_up():
                end_group(proc)
                seconds = time.monotonic() - start
                left = end_strays()
    if left and status is not None:
        note = f'(left running: {" ".join(left)})'
    return status, seconds, note


# Suites ---------------------------------------------------------------------------------------

class Runner:
    def __init__(self, opts):
        self.build = os.path.abspath(opts.build)
        self.results = Results()
        self.logs = os.path.join(self.build, 'test-logs')
        os.makedirs(self.logs, exist_ok=True)
        self.env = dict(os.environ, ZC_ROOT=ROOT, ZC_BUILD=self.build,
                        ZC_CACHE=os.path.abspath(opts.cache))

    def suite(self, suite, only):
        if suite == 'unit':
            self.meson(suite, self.build, 'unit', only, {}, [])
        elif suite in SANITIZERS:
            self.sanitizer(suite, only)
        else:
            self.folder(suite, only)

    # A folder of scripts

    def folder(self, suite, only):
        folder = os.path.join(ROOT, 'test', suite)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        tests = [n for n in names
                 if n.startswith('t_') and os.access(os.path.join(folder, n), os.X_OK)
                 and (only is None or n == only)]
        if not tests:
            if only:
                raise SystemExit(f'dev: no test {suite}/{only}')
            print(f'{suite:<11} (no tests)')
        for name in tests:
            self.script(suite, os.path.join(folder, name))

    def script(self, suite, path):
        name = os.path.basename(path)
        logs = os.path.join(self.logs, suite)
        os.makedirs(logs, exist_ok=True)
        log = os.path.join(logs, name + '.log')
        self.results.begin(suite, name)
        limit = timeout_of(path)
        # Short, because UNIX socket paths end at 107 bytes.
        tmp = tempfile.mkdtemp(prefix='zc.')
        try:
            status, seconds, note = run_session([path], log, limit, tmp,
                                                dict(self.env, TMPDIR=tmp))
        except OSError as e:
            status, seconds, note = 1, 0.0, str(e)
        finally:
            shutil.rmtree(tmp, ignore_errors=True)
        reason = ''
        if status is None:
            status, reason = 1, f'timeout after {limit} s'
        elif status in (EXIT_SKIP, EXIT_SKIP_ALWAYS):
            reason = last_line(log)
        elif status:
            reason = describe(status)
        self.results.end(suite, name, status, seconds, reason, log, note)

    # Meson

    def sanitizer(self, suite, only):
        meson_suite, sanitize, env = SANITIZERS[suite]
        build = f'{self.build}-{suite.split("-")[1]}'
        prefix = []
        if sanitize == 'thread' and subprocess.call(['setarch', '-R', 'true'],
                                                    stderr=subprocess.DEVNULL) == 0:
            # gcc 12's run time does not know the address layout of kernels that randomise more.
            prefix = ['setarch', '-R']
        log = os.path.join(self.logs, f'{suite}-setup.log')
        self.results.begin(suite, 'setup')
        args = ['meson', 'setup', build, '--buildtype=debugoptimized', '-Dwerror=false',
                f'-Db_sanitize={sanitize}']
        if os.path.exists(os.path.join(build, 'build.ninja')):
            # Lets meson look again where its files have changed, before its tests are listed.
            args = ['ninja', '-C', build, 'build.ninja']
        status, seconds, _ = run_session(args, log, 600, ROOT, self.env)
        if status != 0:
            self.results.end(suite, 'setup', 1, seconds, 'meson setup failed', log)
            return
        self.meson(suite, build, meson_suite, only, env, prefix)

    def meson(self, suite, build, meson_suite, only, env, prefix):
        names = self.meson_names(suite, build, meson_suite)
        if names is None:
            return
        if only is not None:
            names = [n for n in names if n == only]
            if not names:
                raise SystemExit(f'dev: no test {suite}/{only}')
        if not names:
            print(f'{suite:<11} (no tests)')
            return
        log = os.path.join(self.logs, f'{suite}.log')
        report = os.path.join(build, 'meson-logs', f'{suite}.json')
        if os.path.exists(report):
            os.remove(report)
        args = [*prefix, 'meson', 'test', '-C', build, '--suite', meson_suite, '--logbase', suite]
        if only is not None:
            args.append(only)
        self.results.begin(suite, f'{len(names)} tests, building')
        start = time.monotonic()
        seen = 0
        with open(log, 'wb') as out:
            proc = subprocess.Popen(args, cwd=ROOT, env=dict(self.env, **env),
                                    stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=subprocess.STDOUT, start_new_session=True)
            try:
                while True:
                    ended = proc.poll() is not None
                    seen = self.meson_report(suite, report, seen)
                    if ended:
                        break
                    time.sleep(0.1)
            finally:
                with clean_up():
                    end_group(proc)
                    end_strays()
        if seen < len(names):
            self.results.end(suite, f'{len(names) - seen} tests', 1, time.monotonic() - start,
                             'did not run', log)

    def meson_names(self, suite, build, meson_suite):
        """Names of the tests in a suite, or None after counting a failure."""
        run = subprocess.run(['meson', 'introspect', '--tests', build], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
        try:
            tests = json.loads(run.stdout)
        except ValueError:
            self.results.end(suite, 'introspect', 1, 0.0, last_of(run.stdout))
            return None
        return [t['name'] for t in tests
                if any(s.split(':')[-1] == meson_suite for s in t['suite'])]

    def meson_report(self, suite, report, seen):
        """Count what meson has added to its report, one JSON object a line."""
        try:
            with open(report) as f:
                lines = f.read().split('\n')[:-1]
        except OSError:
            return seen
        for line in lines[seen:]:
            test = json.loads(line)
            # "project:suite / name", or the name alone
            name = test['name'].split(' / ')[-1]
            status, reason, log = self.meson_status(suite, test, name)
            self.results.end(suite, name, status, test['duration'], reason, log)
        return len(lines)

    def meson_status(self, suite, test, name):
        output = test.get('stdout', '') + test.get('stderr', '')
        logs = os.path.join(self.logs, suite)
        os.makedirs(logs, exist_ok=True)
        log = os.path.join(logs, re.sub(r'[^\w.-]', '_', name) + '.log')
        with open(log, 'w') as f:
            f.write(output)
        code = test.get('returncode', 1)
        if test['result'] in ('OK', 'EXPECTEDFAIL'):
            return 0, '', log
        if test['result'] == 'SKIP' or code in (EXIT_SKIP, EXIT_SKIP_ALWAYS):
            status = EXIT_SKIP_ALWAYS if code == EXIT_SKIP_ALWAYS else EXIT_SKIP
            return status, last_of(test.get('stdout', '')), log
        if test['result'] == 'TIMEOUT':
            return 1, 'timeout', log
        return 1, describe(code), log


def timeout_of(path):
    """Seconds from a '# timeout: N' line, which a test has when the default is not enough."""
    with open(path, errors='replace') as f:
        for line in f:
            m = re.match(r'(?:#|//|/?\*)\s*timeout:\s*(\d+)', line)
            if m:
                return int(m.group(1))
    return DEFAULT_TIMEOUT


def describe(status):
    if status >= 0:
        return f'exit status {status}'
    return f'killed by {signal.Signals(-status).name}'


def last_of(text):
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ''


def last_line(path):
    with open(path, errors='replace') as f:
        return last_of(f.read())


def main():
    parser = argparse.ArgumentParser(prog='./dev test', usage='%(prog)s [SUITE[/TEST]...]')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--build', default=os.path.join(ROOT, 'build'))
    parser.add_argument('--cache', default=os.path.join(ROOT, '.cache'))
    parser.add_argument('--failed', action='store_true', help='the build failed')
    parser.add_argument('suites', nargs='*', metavar='SUITE')
    opts = parser.parse_args()
    if opts.list:
        print('suites: ' + ' '.join(SUITES))
        return 0
    wanted = [w.partition('/')[::2] for w in opts.suites] or [(s, None) for s in SUITES]
    for suite, _ in wanted:
        if suite not in SUITES:
            parser.error(f'no suite {suite}; there are: {" ".join(SUITES)}')

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, on_signal)
    runner = Runner(opts)
    if opts.failed:
        runner.results.end('build', 'gcc', 1, 0.0, 'see above')
        return runner.results.close()
    try:
        for suite, only in wanted:
            runner.suite(suite, only or None)
    except Stop:
        print('interrupted')
        runner.results.close()
        return 128 + Stop.signum
    return runner.results.close()


if __name__ == '__main__':
    sys.exit(main())
