# SPDX-License-Identifier: BSD-3-Clause
"""What the functional tests are made of: the program, guests, a NIC's cable, and waiting.

    zcnet-guest, testpmd --- vhost-user --- zcnet --- af_packet, tap --- zcnet-wire
                                              |
                                              +------ null, ring

Tests wait for what telemetry, a file or an exit status says, never for a time. Every process dies
with the test, all files are in the test's own folder, and interfaces are in a network namespace
without a name (private_network()). When a test fails, the counters of every zcnet and the ends of
all logs are shown.
"""
import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.environ.get('ZC_ROOT') or os.path.realpath(
    os.path.join(os.path.dirname(__file__), '..', '..'))
BUILD = os.environ.get('ZC_BUILD') or os.path.join(ROOT, 'build')
sys.path.insert(0, os.path.join(ROOT, 'examples', 'demo'))
sys.dont_write_bytecode = True
from zctl import Telemetry  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
MAIN_CPU, WORKER_CPU = CPUS[0], CPUS[-1]
ANSWER = 60             # seconds that telemetry has, however busy the machine
PROMPT_HELP = 'End the program; every guest is told.'


class Fail(Exception):
    """What was expected did not happen."""


class Skip(Exception):
    """This machine lacks something; the text says what."""

    def __init__(self, text, status=77):
        super().__init__(text)
        self.status = status            # 77: ./dev setup can install it, 78: it cannot


def check(condition, text):
    if not condition:
        raise Fail(text)


def wait_for(what, probe, timeout=10, alive=()):
    """The first true answer of probe(), unless one of the processes ends before."""
    end = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer:
            return answer
        for process in alive:
            if process.poll() is not None:
                raise Fail(f'{what}: {process.name} ended with status {process.returncode}')
        if time.monotonic() > end:
            raise Fail(f'{what}: not within {timeout} s')
        time.sleep(0.01)


def tool(name):
    """Path of a test program that the build made."""
    path = os.path.join(BUILD, 'test', 'lib', name)
    if not os.access(path, os.X_OK):
        raise Skip(f'{path} is not built: install libcmocka-dev and build again, or ./dev setup')
    return path


def private_network():
    """Go on in a network namespace of our own. Starts this program again, once."""
    if os.environ.get('ZC_PRIVATE_NETWORK') != str(os.getpid()):
        if os.geteuid() != 0:
            raise Skip('making network interfaces needs root: use sudo', 78)
        if not shutil.which('ip'):
            raise Skip('ip is not installed: apt-get install iproute2, or ./dev setup')
        if subprocess.run(['unshare', '--net', 'true'], stderr=subprocess.DEVNULL).returncode:
            raise Skip('cannot make a network namespace; in a container pass --cap-add SYS_ADMIN',
                       78)
        os.environ['ZC_PRIVATE_NETWORK'] = str(os.getpid())
        sys.stdout.flush()
        os.execvp('unshare', ['unshare', '--net', sys.executable, *sys.orig_argv[1:]])
    for name in ('all', 'default'):
        with contextlib.suppress(OSError):
            with open(f'/proc/sys/net/ipv6/conf/{name}/disable_ipv6', 'w') as setting:
                setting.write('1')


def need_tap():
    try:
        os.close(os.open('/dev/net/tun', os.O_RDWR))
    except OSError as error:
        raise Skip(f'/dev/net/tun: {error.strerror}: modprobe tun; in a container pass '
                   '--device /dev/net/tun --cap-add NET_ADMIN', 78) from None


def need_priority():
    if subprocess.run(['chrt', '-f', '1', 'true'], stderr=subprocess.DEVNULL).returncode:
        raise Skip('no process may run before others here: run as root; in a container pass '
                   '--cap-add SYS_NICE', 78)


def ip(command):
    subprocess.run(['ip', *command.split()], check=True)


def veth(mtu=1500):
    """A cable between the interfaces v0, for zcnet, and v1."""
    ip('link add v0 type veth peer name v1')
    for end in ('v0', 'v1'):
        ip(f'link set {end} mtu {mtu} addrgenmode none')
        ip(f'link set {end} up')


def link_up(interface):
    shown = subprocess.run(['ip', '-j', 'link', 'show', interface], stdout=subprocess.PIPE)
    return shown.returncode == 0 and 'LOWER_UP' in json.loads(shown.stdout)[0]['flags']


class Process(subprocess.Popen):
    """A child that dies with us, its output in a log."""

    def __init__(self, rig, name, argv, **kwargs):
        self.name = name
        self.out = rig.path(f'{name}.out')
        self.err = rig.path(f'{name}.err')
        with open(self.out, 'ab') as out, open(self.err, 'ab') as err:
            super().__init__(['setpriv', '--pdeathsig', 'KILL', *argv], stdout=out, stderr=err,
                             **{'stdin': subprocess.DEVNULL, **kwargs})

    def output(self):
        with open(self.out, errors='replace') as out:
            return out.read()

    def complaints(self):
        with open(self.err, errors='replace') as err:
            return err.read()

    def stop(self, number=signal.SIGTERM, timeout=10):
        """Ask it to end, make it if it doesn't, and give its exit status."""
        if self.poll() is None:
            self.send_signal(number)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                self.wait()
        return self.returncode

    def finish(self, timeout=60):
        """Its exit status, once it has ended by itself."""
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Fail(f'{self.name}: still running after {timeout} s') from None

    def guest_maps(self):
        """Mappings of guest memory, as /proc names them: memfds, or files of a guest's hugetlbfs."""
        with open(f'/proc/{self.pid}/maps') as maps:
            return [line for line in maps if '/memfd:guest' in line or ' /guest' in line]

    def guest_memory(self):
        """Inodes of the guest memory that it has mapped."""
        return {line.split()[4] for line in self.guest_maps()}


class Tool(Process):
    """zcnet-guest or zcnet-wire: the last line of its output is its result."""

    def go(self):
        """Let one that was started with --hold send."""
        self.stdin.close()

    def result(self, timeout=60, status=0):
        got = self.finish(timeout)
        lines = self.output().strip().splitlines()
        if status is not None and got != status:
            raise Fail(f'{self.name}: status {got}: {lines[-1:]} {self.complaints()[-500:]}')
        return json.loads(lines[-1]) if lines else None


ZCNET = os.path.join(BUILD, 'app', 'zcnet')
NO_HUGEPAGES = ('--no-huge', '-m', '512')


def zcnet_argv(prefix, workers=1, program=ZCNET, memory=NO_HUGEPAGES):
    """The program and EAL's arguments: a worker on the last CPU, no PCI."""
    lcores = ','.join(f'({i})@{WORKER_CPU if i else MAIN_CPU}' for i in range(workers + 1))
    return [program, '--lcores', lcores, '--no-pci', *memory, '--file-prefix', prefix]


class Zcnet(Process):
    """The program with its shell on a pipe and its telemetry at hand."""

    def __init__(self, rig, name, config, vdevs=(), wrap=list, **argv):
        path = rig.path(f'{name}.conf')
        with open(path, 'w') as conf:
            conf.write(config)
        self.rig = rig
        self.telemetry = None
        devices = [word for vdev in vdevs for word in ('--vdev', vdev)]
        words = [*zcnet_argv(name, **argv), *devices, '--', '-c', path, '-i']
        super().__init__(rig, name, wrap(words),
                         stdin=subprocess.PIPE, env=dict(os.environ, RUNTIME_DIRECTORY=rig.dir))
        wait_for(f'{name} is up', self._up, 20, [self])

    def _up(self):
        try:
            self.telemetry = self.telemetry or Telemetry(self.name, self.rig.dir, ANSWER)
            return self.telemetry.ask('/zcnet/version')
        except (OSError, ValueError):
            self.telemetry = None       # a late answer would be taken for the next one's
            return None

    def ask(self, command):
        answer = self.telemetry.ask(command)
        if answer is None:
            raise Fail(f'{self.name}: telemetry has no {command}')
        return answer

    def port(self, name):
        return self.ask(f'/zcnet/port/info,{name}')

    def stats(self, name, direction):
        """Counters of a port: 'rx' into the switch, 'tx' out of it."""
        return self.ask(f'/zcnet/port/stats,{name}')[direction]

    def queue(self, name, direction, index):
        return self.ask(f'/zcnet/queue/stats,{name},{direction},{index}')

    def conn(self, name):
        return self.ask(f'/zcnet/conn/info,{name}')

    def shell(self, command, timeout=20):
        """Run a command; its output. One that fails ends the program, which fails the test."""
        begin = os.path.getsize(self.out)
        self.stdin.write(f'{command}\nhelp quit\n'.encode())
        self.stdin.flush()

        def answered():
            text = self.output()[begin:]
            return text if PROMPT_HELP in text else None
        return wait_for(f"'{command}'", answered, timeout, [self]).split('  quit\n')[0]

    def guest_up(self, name='guest0', pairs=1, timeout=20):
        """Wait until a guest is there with so many queue pairs."""
        wait_for(f'{name} has {pairs} queue pairs', lambda: self.port(name)['link_up'] and
                 self.port(name)['queues_used'] >= pairs, timeout, [self])

    def guest_gone(self, name='guest0'):
        wait_for(f'{name} has no guest', lambda: not self.port(name)['link_up'], 10, [self])

    def nothing_out(self, name='guest0'):
        wait_for(f'buffers of {name} are back', lambda: self.stats(name, 'rx')['out'] == 0, 10,
                 [self])

    def fds(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def worker(self):
        """What /proc has of the first worker's thread."""
        for task in glob.glob(f'/proc/{self.pid}/task/*'):
            with open(f'{task}/comm') as comm:
                if 'worker' in comm.read():
                    return task
        raise Fail(f'{self.name} has no worker')

    def mappings(self):
        """So many, but for those that a thread keeps once it has interrupted a guest (vq/kick.c)."""
        with open(f'/proc/{self.pid}/maps') as maps:
            return sum('/[aio]' not in line for line in maps)

    def dump(self):
        """Everything there is to know, on stdout."""
        if self.poll() is not None:
            print(f'{self.name} ended with status {self.returncode}')
            return
        with contextlib.suppress(Exception):
            for port in self.telemetry.ask('/zcnet/port/list'):
                print(self.name, port, json.dumps(self.telemetry.ask(f'/zcnet/port/info,{port}')))
                stats = self.telemetry.ask(f'/zcnet/port/stats,{port}')
                for direction, counters in stats.items():
                    print(' ', direction, {k: v for k, v in counters.items() if v})
            for conn in self.telemetry.ask('/zcnet/conn/list'):
                print(self.name, conn, json.dumps(self.telemetry.ask(f'/zcnet/conn/info,{conn}')))


class Testpmd(Process):
    """A guest that sends back what it gets. What its device takes stands in devargs."""

    def __init__(self, rig, name, path, devargs='', args=(), pairs=1):
        if not shutil.which('dpdk-testpmd'):
            raise Skip('dpdk-testpmd is not installed: apt-get install dpdk, or ./dev setup')
        device = (f'net_virtio_user0,mac=52:54:00:00:00:01,path={path},queues={pairs},'
                  f'queue_size=256{",cq=1" if pairs > 1 else ""}{devargs}')
        super().__init__(rig, name, [
            'stdbuf', '-oL', 'dpdk-testpmd', '--lcores', f'(0)@{MAIN_CPU},(1)@{MAIN_CPU}',
            '--file-prefix', name, '--no-huge', '-m', '256', '--single-file-segments', '--no-pci',
            '--vdev', device, '--',
            '-i', '--auto-start', '--no-flush-rx', '--forward-mode=io', '--port-topology=loop',
            f'--rxq={pairs}', f'--txq={pairs}', '--total-num-mbufs=4096', *args],
            stdin=subprocess.PIPE, env=dict(os.environ, RUNTIME_DIRECTORY=rig.dir))


    def ready(self):
        """Wait until it forwards; until then its driver throws away what it has received."""
        wait_for('testpmd forwards', lambda: 'io packet forwarding - ports' in self.output(), 30,
                 [self])

    def dump(self):
        """Its counters, as part of its output."""
        with contextlib.suppress(OSError, Fail):
            self.stdin.write(b'show port stats all\nshow port xstats 0\n')
            self.stdin.flush()
            wait_for('statistics', lambda: 'tx_q0_errors' in self.output(), 3, [self])


class Rig:
    """Owns every process of a test, and ends them all."""

    def __init__(self):
        self.children = []
        self.counts = {}
        self.dir = None

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='f')
        if len(CPUS) > 1:
            os.sched_setaffinity(0, CPUS[:-1])      # the last one is the worker's
        return self

    def __exit__(self, kind, _error, _trace):
        if kind and not issubclass(kind, (Skip, KeyboardInterrupt)):
            self.show()
        for child in reversed(self.children):
            child.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def socket(self, guest='guest0'):
        return self.path(f'{guest}.sock')

    def _add(self, kind, name, *args, **kwargs):
        number = self.counts[name] = self.counts.get(name, 0) + 1
        child = kind(self, name if number == 1 else f'{name}.{number}', *args, **kwargs)
        self.children.append(child)
        return child

    def zcnet(self, config, vdevs=(), name='zcnet', **kwargs):
        return self._add(Zcnet, name, config, vdevs, **kwargs)

    def program(self, name, *args, program=ZCNET):
        """zcnet with arguments of one's own, and nothing waited for."""
        return self._add(Process, name, [*zcnet_argv(name, program=program), *args],
                         env=dict(os.environ, RUNTIME_DIRECTORY=self.dir))

    def guest(self, *args, name='guest0', nice=0, first=False):
        """zcnet-guest on the socket of that port.

        nice: many of them shall not be in the way; first: it sleeps most of the time and runs
        before all others when it wakes up.
        """
        how = ['chrt', '-f', '1'] if first else ['nice', '-n', str(nice)]
        guest = self._add(Tool, name, [*how, tool('zcnet-guest'), '--socket', self.socket(name),
                                       *map(str, args)], stdin=subprocess.PIPE)
        guest.port = name
        return guest

    def said_cases(self):
        """Everything that zcnet-said can do."""
        listed = subprocess.run([tool('zcnet-said'), '--list'], stdout=subprocess.PIPE, text=True,
                                check=True)
        return [line.split(':')[0] for line in listed.stdout.splitlines()]

    def said(self, *cases, name='guest0'):
        """zcnet-said on the socket of that port."""
        return self._add(Process, 'said', [tool('zcnet-said'), self.socket(name), *cases],
                         stdin=subprocess.PIPE)

    def wire(self, interface, *args):
        """zcnet-wire on that interface, once it listens."""
        wire = self._add(Tool, 'wire', [tool('zcnet-wire'), '--interface', interface,
                                        *map(str, args)])
        wait_for('the wire listens', lambda: 'ready' in wire.output(), 10, [wire])
        return wire

    def testpmd(self, *args, name='guest0', **kwargs):
        return self._add(Testpmd, f'{name}-testpmd', self.socket(name), *args, **kwargs)

    def vhost(self, name='guest0', **keys):
        return section('port', name, type='vhost', path=self.socket(name), **keys)

    def show(self, lines=40):
        for child in self.children:
            if isinstance(child, (Zcnet, Testpmd)):
                child.dump()
        for child in self.children:
            for log in (child.out, child.err):
                with open(log, errors='replace') as text:
                    tail = [line for line in text.read().splitlines()
                            if not line.startswith(('VHOST_CONFIG', 'EAL:'))][-lines:]
                if tail:
                    print(f'--- {os.path.basename(log)}', *tail, sep='\n')


def section(kind, name, **keys):
    """A section of a configuration; '_' in a key stands for '-'."""
    lines = [f'{key.replace("_", "-")} = {value}' for key, value in keys.items()]
    return '\n'.join([f'[{kind} {name}]', *lines, '', ''])


def ethdev(name, device, **keys):
    return section('port', name, type='ethdev', device=device, **keys)


def connect(a, b, name='c0', **keys):
    return section('connect', name, a=a, b=b, **keys)


def differences(before, after):
    return {key: after[key] - before[key] for key in before if isinstance(before[key], int)}


def share(counters):
    """Of the frames offered, drops included, the share that went without a copy."""
    drops = sum(value for key, value in counters.items() if key.startswith('drop_'))
    return counters['zc_frames'] / max(counters['frames'] + drops, 1)


def main(*tests, network=False, tap=False):
    """Run functions of a rig, each with one of its own; the exit status says what came of it.

    Words of the command line choose some of them by name.
    """
    try:
        if network or tap:
            private_network()
        if tap:
            need_tap()
        for test in tests:
            if sys.argv[1:] and test.__name__ not in sys.argv[1:]:
                continue
            begin = time.monotonic()
            with Rig() as rig:
                test(rig)
            print(f'{test.__name__}: {time.monotonic() - begin:.1f} s', flush=True)
    except Skip as reason:
        print(reason)
        sys.exit(reason.status)
    except Fail as error:
        sys.exit(f'FAIL: {error}')
