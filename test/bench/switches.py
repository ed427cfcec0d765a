# SPDX-License-Identifier: BSD-3-Clause
"""The programs compared: each is started for a cell, asked for its counters, and stopped.

All get core CPU_SWITCH for forwarding and share CPU_GUEST with the guest for everything else, have
the same kind of memory, and their NIC is net_null, which does nothing with a frame but free it, or
net_ring, which gives it back.
"""

import contextlib
import dataclasses
import glob
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time

import noise

CPU_GUEST, CPU_SWITCH = 0, 1
READY_SECONDS = 30
MBUF_ROOM = 2048
# Of testpmd's event thread, with the ends of lines around it.
EVENT = re.compile(rb'Port \d+: [^\n]* event\n|\n')


class Failed(Exception):
    """A program didn't do what it should; says what it wrote last."""


@dataclasses.dataclass
class Counters:
    """Since the start of the switch; only differences mean something."""

    frames: int         # delivered
    lost: int           # dropped on the way
    cycles: float       # TSC cycles of turns that did something
    no_copy: int = 0    # of the frames; only zcnet knows


class Switch:
    """A process under test."""

    name = ''
    thread = r'(rte|lcore)-worker-|lcore-worker'    # the forwarding thread's name

    def __init__(self, cell, folder, build):
        self.cell = cell
        self.folder = folder
        self.build = build
        self.sockets = [os.path.join(folder, f'guest{i}.sock') for i in range(self.guests())]
        self.prefix = 'bench' + os.path.basename(folder)
        self.process = None
        self.log = os.path.join(folder, 'log')

    def guests(self):
        """Guest ports; the busy ones are the first."""
        return max(self.cell.ports, 2 if self.cell.way == 'guests' else 1)

    def nics(self):
        """EAL's arguments of the NICs."""
        c = self.cell
        if c.way == 'guests':
            return []
        if c.way == 'trip':
            return ['net_ring0']
        return [f'net_null0,size={c.size}' + (',no-rx=1' if c.way == 'out' else '')]

    def eal(self):
        return ['--lcores', f'0@{CPU_GUEST},1@{CPU_SWITCH}', '--file-prefix', self.prefix,
                '--in-memory', '--no-pci', '--log-level', '4',
                *[a for n in self.nics() for a in ('--vdev', n)]]

    def spawn(self, argv, **more):
        with open(self.log, 'wb') as log:
            self.process = noise.spawn(['taskset', '-c', f'{CPU_GUEST},{CPU_SWITCH}', *argv],
                                       stdin=subprocess.PIPE, stderr=log, bufsize=0, **more)

    def complaint(self, what):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            last = f.read().strip().split('\n')[-5:]
        return Failed(f'{self.name}: {what}: ' + ' | '.join(last))

    def wait_for(self, ready, what):
        end = time.monotonic() + READY_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise self.complaint(f'ended before {what}')
            if time.monotonic() > end:
                raise self.complaint(f'no {what} after {READY_SECONDS} s')
            time.sleep(0.01)

    def waited(self):
        """Nanoseconds that the forwarding threads waited for their core."""
        pid = self.process.pid
        return sum(noise.thread_waited(pid, t) for t in noise.threads(pid, self.thread))

    def kill(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(os.path.join('/run/dpdk', self.prefix), ignore_errors=True)


class Testpmd(Switch):
    """io forwarding; asked through its prompt."""

    name = 'testpmd'
    prompt = b'testpmd> '

    def guest_device(self, i):
        return f'net_vhost{i},iface={self.sockets[i]},queues={self.cell.queues}'

    def plugins(self):
        return []

    def start(self):
        c = self.cell
        if self.guests() + len(self.nics()) > 32:
            raise NotImplementedError('more ports than DPDK was built for')
        devices = [self.guest_device(i) for i in range(self.guests())]
        # Ports are paired in order of probing: guest and NIC next to each other.
        nics = self.nics()
        pairs = [d for pair in zip(devices, nics) for d in pair] + devices[len(nics):]
        argv = ['stdbuf', '-oL', 'dpdk-testpmd', '--lcores', f'0@{CPU_GUEST},1@{CPU_SWITCH}', '--file-prefix',
                self.prefix, '--in-memory', '--no-pci', '--log-level', '4', '-m', '768',
                *self.plugins(), *[a for d in pairs for a in ('--vdev', d)], '--', '-i',
                '--forward-mode=io', '--record-core-cycles', '--no-flush-rx',
                f'--rxq={c.queues}', f'--txq={c.queues}', '--auto-start']
        if c.way == 'in' and c.size > MBUF_ROOM:
            argv.append(f'--mbuf-size={c.size + 256}')
        if len(pairs) % 2 == 1:
            argv += ['--port-topology=chained']
        self.spawn(argv, stdout=subprocess.PIPE)
        self.read_prompt('start')
        self.wait_for(lambda: all(map(os.path.exists, self.sockets)), 'socket')

    def read_prompt(self, asked):
        """What is written until the next prompt. Events come at any time, even amid the prompt."""
        text, end = b'', time.monotonic() + READY_SECONDS
        while self.prompt not in EVENT.sub(b'', text):
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise self.complaint(f'no prompt after {asked}, but {text!r}')
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                raise self.complaint(f'ended at {asked}')
            text += got
        return text.decode(errors='replace')

    def ask(self, command):
        self.process.stdin.write(command.encode() + b'\n')
        return self.read_prompt(command)

    def counters(self):
        text = self.ask('show fwd stats all').split('Accumulated')[-1]
        tx = re.search(r'TX-packets: (\d+)\s+TX-dropped: (\d+)', text)
        cycles = re.search(r'total cycles=(\d+)', text)
        if not tx:
            raise Failed(f'testpmd: its statistics are not understood: {text[:200]!r}')
        return Counters(int(tx[1]), int(tx[2]), float(cycles[1]) if cycles else 0.0)

    def stop(self):
        self.kill()


class TestpmdZcnet(Testpmd):
    """The same program; only the driver of the guest port differs."""

    name = 'testpmd-zcnet'

    def guest_device(self, i):
        return f'net_zcnet{i},iface={self.sockets[i]},queues={self.cell.queues}'

    def plugins(self):
        return ['-d', os.path.join(self.build, 'drivers/net/zcnet/librte_net_zcnet.so')]

    def start(self):
        if not os.path.exists(self.plugins()[1]):
            raise NotImplementedError('net_zcnet was not built')
        super().start()


class Zcnet(Switch):
    """The application; asked through telemetry."""

    name = 'zcnet'
    zerocopy = 'on'

    def config(self):
        c, rows = self.cell, []
        for i, path in enumerate(self.sockets):
            rows += [f'[port guest{i}]', 'type = vhost', f'path = {path}', f'queues = {c.queues}',
                     f'zerocopy = {self.zerocopy}', f'header-bytes = {c.header}',
                     'rx-full = ' + ('wait' if c.way == 'guests' else 'drop')]
        for i, nic in enumerate(self.nics()):
            rows += [f'[port nic{i}]', 'type = ethdev', f'device = {nic.split(",")[0]}',
                     f'queues = {c.queues}', f'mtu = {min(65535, max(1500, c.size))}']
        ports = [f'guest{i}' for i in range(self.guests())]
        nics = [f'nic{i}' for i, _ in enumerate(self.nics())]
        pairs = list(zip(ports, nics))
        rest = ports[len(nics):]
        pairs += list(zip(rest[::2], rest[1::2]))
        for i, (a, b) in enumerate(pairs):
            rows += [f'[connect c{i}]', f'a = {a}', f'b = {b}']
        return '\n'.join(rows) + '\n'

    def start(self):
        path = os.path.join(self.folder, 'zcnet.conf')
        with open(path, 'w', encoding='ascii') as f:
            f.write(self.config())
        self.spawn([os.path.join(self.build, 'app/zcnet'), *self.eal(), '-m', '768', '--', '-c',
                    path], stdout=subprocess.PIPE)
        self.telemetry = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.wait_for(self.connect, 'telemetry')
        self.wait_for(lambda: self.ask('/zcnet/worker/stats'), 'worker')

    def connect(self):
        for path in glob.glob(f'/run/dpdk/{self.prefix}/dpdk_telemetry.v2*'):
            with contextlib.suppress(OSError):
                self.telemetry.connect(path)
                self.telemetry.settimeout(5)
                self.telemetry.recv(1024)
                return True
        return False

    def ask(self, command):
        self.telemetry.send(command.encode())
        return list(json.loads(self.telemetry.recv(65536)).values())[0]

    def counters(self):
        worker = self.ask('/zcnet/worker/stats')['0']
        # Where frames that were delivered are counted.
        sides = {'out': [(0, 'rx')], 'in': [(0, 'tx')], 'both': [(0, 'rx'), (0, 'tx')], 'trip': [(0, 'rx'), (0, 'tx')],
                 'guests': [(1, 'tx')]}
        found = [self.ask(f'/zcnet/port/stats,guest{i}')[side] for i, side in sides[self.cell.way]]
        frames, no_copy = (sum(f[key] for f in found) for key in ('frames', 'zc_frames'))
        lost = sum(map(dropped, found))
        return Counters(frames, lost, worker['busy_cycles'], no_copy)

    def stop(self):
        with contextlib.suppress(AttributeError, OSError):
            self.telemetry.close()
        self.kill()


def dropped(side):
    return sum(v for k, v in side.items() if k.startswith('drop_'))


class ZcnetCopy(Zcnet):
    """The application told to copy every frame."""

    name = 'zcnet-copy'
    zerocopy = 'off'


class Ovs(Switch):
    """OVS-DPDK as Debian has it: port-to-port flows in its datapath, asked through ovs-appctl."""

    name = 'ovs'
    thread = 'pmd-'
    vswitchd = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk'

    def __init__(self, cell, folder, build):
        super().__init__(cell, folder, build)
        self.database = None
        self.sockets = [os.path.join(folder, f'guest{i}') for i in range(self.guests())]

    def tool(self, *argv):
        done = subprocess.run(argv, env=self.env(), capture_output=True, text=True, timeout=READY_SECONDS,
                              check=False)
        if done.returncode:
            raise Failed(f'ovs: {" ".join(argv)}: {done.stderr.strip()}')
        return done.stdout

    def env(self):
        return dict(os.environ, OVS_RUNDIR=self.folder, OVS_LOGDIR=self.folder, OVS_DBDIR=self.folder)

    def vsctl(self, *argv):
        return self.tool('ovs-vsctl', '--timeout=20', f'--db=unix:{self.folder}/db.sock', *argv)

    def appctl(self, *argv):
        return self.tool('ovs-appctl', '-t', os.path.join(self.folder, 'vswitchd.ctl'), *argv)

    def start(self):
        if not os.path.exists(self.vswitchd):
            raise NotImplementedError('openvswitch-switch-dpdk is not installed')
        if self.guests() > 32:
            raise NotImplementedError('as many ports take minutes to start')
        db = os.path.join(self.folder, 'db')
        self.tool('ovsdb-tool', 'create', db, '/usr/share/openvswitch/vswitch.ovsschema')
        self.database = noise.spawn(['ovsdb-server', db, f'--remote=punix:{self.folder}/db.sock'],
                                    env=self.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + READY_SECONDS
        while not os.path.exists(os.path.join(self.folder, 'db.sock')):
            if time.monotonic() > end:
                raise Failed('ovs: no database')
            time.sleep(0.02)
        self.vsctl('--no-wait', 'init', '--', 'set', 'Open_vSwitch', '.', 'other_config:dpdk-init=true',
                   f'other_config:dpdk-lcore-mask={1 << CPU_GUEST:#x}',
                   f'other_config:pmd-cpu-mask={1 << CPU_SWITCH:#x}', 'other_config:dpdk-socket-mem=512',
                   f'other_config:dpdk-extra=--no-pci --in-memory --file-prefix={self.prefix}')
        self.spawn([self.vswitchd, f'unix:{self.folder}/db.sock', '--unixctl',
                    os.path.join(self.folder, 'vswitchd.ctl')], env=self.env(), stdout=subprocess.DEVNULL)
        self.wait_for(lambda: os.path.exists(os.path.join(self.folder, 'vswitchd.ctl')), 'control socket')
        self.add_ports()
        self.wait_for(lambda: all(map(os.path.exists, self.sockets)), 'socket')

    def add_ports(self):
        """One bridge a pair of ports, with no flow but there and back."""
        c, devices = self.cell, self.nics()
        vhost = ['type=dpdkvhostuser']
        rooms = [(f'guest{i}', vhost) for i in range(self.guests())]
        nics = [(f'nic{i}', ['type=dpdk', f'options:dpdk-devargs={n}', f'options:n_rxq={c.queues}'])
                for i, n in enumerate(devices)]
        pairs = list(zip(rooms, nics))
        rest = rooms[len(nics):]
        pairs += list(zip(rest[::2], rest[1::2]))
        for number, pair in enumerate(pairs):
            bridge = f'br{number}'
            command = ['add-br', bridge, '--', 'set', 'bridge', bridge, 'datapath_type=netdev', 'fail_mode=secure']
            for name, settings in pair:
                command += ['--', 'add-port', bridge, name, '--', 'set', 'interface', name, *settings]
                if settings is not vhost:
                    command.append(f'mtu_request={min(9702, max(1500, c.size))}')
            self.vsctl(*command)
            for a, b in (pair, pair[::-1]):
                self.tool('ovs-ofctl', 'add-flow', f'unix:{self.folder}/{bridge}.mgmt',
                          f'in_port={a[0]},actions=output:{b[0]}')

    def statistics(self, name):
        text = self.vsctl('--columns=statistics', 'list', 'interface', name)
        return {k: int(v) for k, v in re.findall(r'(\w+)=(\d+)', text)}

    def counters(self):
        text = self.appctl('dpif-netdev/pmd-stats-show')
        busy = re.search(r'processing cycles: (\d+)', text)
        frames = sum(map(int, re.findall(r'packets received: (\d+)', text.split('main thread')[0])))
        out = {'guests': 'guest1', 'out': 'nic0'}.get(self.cell.way, 'guest0')
        lost = self.statistics(out).get('tx_dropped', 0)
        return Counters(frames - lost, lost, float(busy[1]) if busy else 0.0)

    def stop(self):
        self.kill()
        if self.database:
            self.database.terminate()
            self.database.wait()


KINDS = {k.name: k for k in (Testpmd, TestpmdZcnet, Zcnet, ZcnetCopy, Ovs)}
