# SPDX-License-Identifier: BSD-3-Clause
"""A real Linux guest, the switch, and an outside to talk to.

    outside (this process) -- tap -- switch -- vhost-user -- QEMU: Debian kernel, busybox, iperf3

Everything runs in a network namespace without a name that private_network() makes, so the tap and
its address are seen by nobody else and are gone with the last process. Every child dies with this
process, whatever ends it; files are below one temporary folder, DPDK's run-time files too.
"""
import base64
import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
import termios

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "examples", "demo"))
from zctl import Telemetry  # noqa: E402

TAP = "zctap0"
OUTSIDE_IP = "10.77.0.1"
GUEST_IP = "10.77.0.2"
TAP_MAC = "52:54:00:77:00:01"
QEMU = "qemu-system-x86_64"
BOOT_SECONDS = 90       # 15 on a quiet machine


class Fail(Exception):
    """What was expected did not happen."""


class Late(Fail):
    """It did not happen in time."""


class Crash(Fail):
    """QEMU itself accessed memory that it doesn't have."""


class Skip(Exception):
    """This machine lacks something; the text says what, and what to do."""

    def __init__(self, text, status=77):
        super().__init__(text)
        self.status = status            # 77: ./dev setup can install it, 78: it cannot


def check_machine():
    """Skip unless this machine has what a guest needs."""
    for program, package in ((QEMU, "qemu-system-x86"), ("iperf3", "iperf3"), ("ip", "iproute2"),
                             ("busybox", "busybox-static"), ("unshare", "util-linux")):
        if not shutil.which(program):
            raise Skip(f"{program} is not installed: apt-get install {package}, or ./dev setup")
    if os.geteuid() != 0:
        raise Skip("making a tap and a network namespace needs root: use sudo", 78)
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        raise Skip(f"/dev/net/tun: {error.strerror}: modprobe tun; in a container pass "
                   "--device /dev/net/tun --cap-add NET_ADMIN", 78) from None
    if subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("cannot make a network namespace; in a container pass --cap-add SYS_ADMIN", 78)


def private_network(*image_arguments):
    """Go on in a network namespace of our own, with the guest image made before: its packages
    come over the network that is left. Starts this program again, once. Gives the image."""
    if os.environ.get("ZC_PRIVATE_NETWORK") != str(os.getpid()):
        check_machine()
        guest_image(*image_arguments)
        os.environ["ZC_PRIVATE_NETWORK"] = str(os.getpid())
        sys.stdout.flush()
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.orig_argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return guest_image(*image_arguments)


def wait_for(what, probe, timeout):
    """The first true answer of probe(), asked every 50 ms."""
    end = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Fail(f"{what}: not within {timeout} s")
        time.sleep(0.05)


def unless(error, call):
    """call() as a probe: None instead of that error."""
    try:
        return call()
    except error:
        return None


def guest_image(*args):
    """A folder with vmlinuz and initrd.gz for guest-image.sh's arguments; built once."""
    name = hashlib.md5(repr(args).encode()).hexdigest()[:8]
    cache = os.environ.get("ZC_CACHE", os.path.join(ROOT, ".cache"))
    out = os.path.join(cache, "guest", f"image-{name}")
    script = os.path.join(ROOT, "examples", "demo", "guest-image.sh")
    run = subprocess.run([script, *args, out], stderr=subprocess.PIPE, text=True)
    if run.returncode:
        raise Skip(run.stderr.strip() or f"{script}: status {run.returncode}")
    return out


def main(test):
    """Run test(image) as a test program: the exit status says what came of it."""
    try:
        test(private_network())
    except Skip as reason:
        print(reason)
        sys.exit(reason.status)
    except Fail as error:
        sys.exit(f"FAIL: {error}")


class Rig:
    """Owns the temporary folder and every process, and ends them all."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix=f"{name}.")
        # removes the folder when its stdin ends: when we close it, or when we are gone
        self.remover = subprocess.Popen(["sh", "-c", 'read -r _; rm -rf "$0"', self.dir],
                                        stdin=subprocess.PIPE, start_new_session=True)
        self.children = []
        cpus = sorted(os.sched_getaffinity(0))
        # the last CPU polls; QEMU, iperf3 and this process share the others
        self.main_cpu, self.worker_cpu = cpus[0], cpus[-1]
        if len(cpus) > 1:
            os.sched_setaffinity(0, cpus[:-1])
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._signalled)

    @staticmethod
    def _signalled(number, _frame):
        raise SystemExit(128 + number)

    def __enter__(self):
        return self

    def __exit__(self, kind, _error, _trace):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self.children):
            end(child)
        if kind and not issubclass(kind, (Skip, KeyboardInterrupt, SystemExit)):
            self.show_logs()
        self.remover.stdin.close()
        self.remover.wait()

    def path(self, name):
        return os.path.join(self.dir, name)

    def spawn(self, name, argv, stdin=subprocess.DEVNULL, output=None, **kwargs):
        """Start a program that dies with us. Its output goes to a log of that name."""
        with open(self.path(name + ".log"), "ab") as log:
            child = subprocess.Popen(dying(argv), stdin=stdin, stdout=output or log,
                                     stderr=output or subprocess.STDOUT, **kwargs)
        child.name = name
        self.children.append(child)
        return child

    def show_logs(self, lines=25):
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(self.path(name), errors="replace") as log:
                    tail = log.read().splitlines()[-lines:]
                if tail:
                    print(f"--- {name}", *tail, sep="\n", file=sys.stderr)


def dying(argv):
    """The command, killed when this process ends in any way."""
    return ["setpriv", "--pdeathsig", "KILL", *argv]


def end(child, timeout=10):
    """Ask a child to end, make it if it doesn't, and give its exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return child.returncode


def huge_bytes_free():
    fields = {}
    with open("/proc/meminfo") as meminfo:
        for line in meminfo:
            name, value = line.split(":")
            fields[name] = int(value.split()[0])
    return fields.get("HugePages_Free", 0) * fields.get("Hugepagesize", 0) * 1024


class Switch:
    """The program between the tap and the guest's vhost-user socket."""

    def __init__(self, rig, queues=1, client=False, interactive=False, guest_tso=False):
        self.rig = rig
        self.queues = queues
        self.guest_tso = guest_tso
        self.client = client            # it connects, and QEMU listens
        self.interactive = interactive
        self.socket = rig.path("guest0.sock")
        self.huge = huge_bytes_free() >= 512 << 20
        self.telemetry = None
        self.child = None
        self.starts = 0

    def eal_args(self):
        memory = ["--in-memory", "-m", "256"] if self.huge else ["--no-huge", "-m", "256"]
        return ["--lcores", f"0@{self.rig.main_cpu},1@{self.rig.worker_cpu}", "--no-pci",
                "--file-prefix", "switch", *memory, "--vdev", f"net_tap0,iface={TAP},mac={TAP_MAC}"]

    def argv(self):
        raise NotImplementedError

    def ready(self):
        """It forwards."""
        raise NotImplementedError

    def check(self):
        """Its counters tell of nothing that should not have been."""

    def counters(self):
        """Counters of the guest's port: {"from_guest": {"frames": N, ...}, "to_guest": {...}}."""
        raise NotImplementedError

    def start(self):
        """Start it, and give the tap its address once it is there."""
        env = dict(os.environ, RUNTIME_DIRECTORY=self.rig.dir)
        self.starts += 1
        if self.interactive:
            self._start_on_terminal(env)
        else:
            self.child = self.rig.spawn("switch", self.argv(), env=env)
        self.telemetry = self._wait("telemetry", lambda: unless(
            (OSError, ValueError), lambda: Telemetry("switch", self.rig.dir)))
        self._wait("readiness", self.ready)
        self._wait("tap", lambda: unless(OSError, lambda: socket.if_nametoindex(TAP)))
        for command in (f"address replace {OUTSIDE_IP}/24 dev {TAP}", f"link set {TAP} up"):
            subprocess.run(["ip", *command.split()], check=True)

    def _wait(self, what, probe):
        def alive():
            if self.child.poll() is not None:
                raise Fail(f"the switch ended with status {self.child.returncode}")
            return probe()
        return wait_for(f"the switch's {what}", alive, 30)

    def _start_on_terminal(self, env):
        """With a terminal of its own as its stdin, for shell()."""
        self.terminal, inner = os.openpty()
        self.child = self.rig.spawn("switch", ["setsid", "--ctty", *self.argv()], env=env,
                                    stdin=inner, output=inner)
        os.close(inner)
        self.watch = lambda text: None
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        with open(self.rig.path("switch.log"), "ab", buffering=0) as log:
            while True:
                text = unless(OSError, lambda: os.read(self.terminal, 4096))
                if not text:
                    return
                log.write(text)
                self.watch(text)

    def shell(self):
        """Put our stdin and stdout in front of its terminal until it ends."""
        self.watch = lambda text: os.write(1, text)
        saved = termios.tcgetattr(0) if os.isatty(0) else None
        if saved:
            tty.setraw(0)
        try:
            threading.Thread(target=self._type, daemon=True).start()
            os.write(self.terminal, b"\n")
            self.child.wait()
        finally:
            if saved:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)

    def _type(self):
        while True:
            text = os.read(0, 1024)
            os.write(self.terminal, text or b"\x04")
            if not text:
                return

    def stop(self):
        """End it as an operator would; it has to end well."""
        self.telemetry.close()
        status = end(self.child)
        self.rig.children.remove(self.child)
        if status != 0:
            raise Fail(f"the switch ended with status {status}")

    def kill(self):
        self.telemetry.close()
        self.child.kill()
        self.child.wait()
        self.rig.children.remove(self.child)


class Zcnet(Switch):
    """zcnet with its guest port "guest0" bound to the tap, "nic0"."""

    name = "zcnet"

    def argv(self):
        config = self.rig.path("zcnet.conf")
        with open(config, "w") as out:
            out.write(f"""\
[port guest0]
type = vhost
path = {self.socket}
queues = {self.queues}
client = {"on" if self.client else "off"}
mergeable = {"off" if self.guest_tso else "on"}
guest-tso = {"on" if self.guest_tso else "off"}

[port nic0]
type = ethdev
device = net_tap0
queues = {self.queues}

[connect c0]
a = guest0
b = nic0
""")
        return [zcnet_program(), *self.eal_args(), "--", "-c", config,
                *(["-i"] if self.interactive else [])]

    def ready(self):
        return self.telemetry.ask("/zcnet/conn/list")

    def check(self):
        """The guest broke no rule, and in silence every buffer of its comes back."""
        wait_for("every guest buffer back", lambda: not self.counters()["from_guest"]["out"], 1)
        for way, counters in self.counters().items():
            for name in "broken", "drop_bad_chain", "drop_bad_size":
                if isinstance(counters, dict) and counters[name]:
                    raise Fail(f"{way}: {name} is {counters[name]}")

    def counters(self):
        stats = self.telemetry.ask("/zcnet/port/stats,guest0")
        workers = self.telemetry.ask("/zcnet/worker/stats").values()
        return {"from_guest": stats["rx"], "to_guest": stats["tx"],
                "busy_cycles": sum(worker["busy_cycles"] for worker in workers),
                "worker_frames": sum(worker["frames"] for worker in workers)}


def zcnet_program():
    return os.path.join(os.environ.get("ZC_BUILD", os.path.join(ROOT, "build")), "app", "zcnet")


class Testpmd(Switch):
    """The copying peer: testpmd forwarding between net_vhost and net_tap."""

    name = "testpmd"

    def argv(self):
        queues = str(self.queues)
        client = ",client=1" if self.client else ""
        return ["dpdk-testpmd", *self.eal_args(), "--vdev",
                f"net_vhost0,iface={self.socket},queues={queues}{client}", "--", "-i",
                "--auto-start", "--forward-mode=io", "--rxq", queues, "--txq", queues,
                "--total-num-mbufs=16384"]

    def start(self):
        self.interactive = True         # it ends at the end of its stdin
        if not self.client:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)  # net_vhost refuses one that was left behind
        super().start()

    def ready(self):
        # it serves telemetry before its ports are set up, and crashes when asked about them then
        with open(self.rig.path("switch.log"), errors="replace") as log:
            return log.read().count("testpmd> ") == self.starts

    def counters(self):
        ports = {}
        for port in self.telemetry.ask("/ethdev/list"):
            stats = self.telemetry.ask(f"/ethdev/stats,{port}")
            ports[self.telemetry.ask(f"/ethdev/info,{port}")["name"]] = stats
        stats = ports["net_vhost0"]
        return {"from_guest": {"frames": stats["ipackets"], "bytes": stats["ibytes"]},
                "to_guest": {"frames": stats["opackets"], "bytes": stats["obytes"]},
                "busy_cycles": 0}


def make_switch(rig, **options):
    """zcnet, or with ZC_SWITCH=testpmd the copying peer."""
    if os.environ.get("ZC_SWITCH") == "testpmd":
        return Testpmd(rig, **options)
    if not os.access(zcnet_program(), os.X_OK):
        raise Skip(f"{zcnet_program()} is not built: ./dev build")
    return Zcnet(rig, **options)


class Vm:
    """A virtual machine in QEMU that runs the small Linux, with its agent to run commands."""

    qemu = [QEMU]       # the program, and what it always needs

    def __init__(self, rig, image, name, cpus=1, memory_mb=256):
        self.rig = rig
        self.image = image
        self.name = name
        self.cpus = cpus
        self.memory_mb = memory_mb
        self.lines = queue.Queue()
        self.commands = 0
        self.kernel = None

    def devices(self):
        """QEMU's arguments for what this machine has besides CPUs, memory and the agent."""
        raise NotImplementedError

    def kernel_arguments(self):
        return ""

    def argv(self):
        return [*self.qemu, "-nodefaults", "-no-user-config", "-display", "none",
                "-accel", os.environ.get("ZC_ACCEL", "tcg,thread=multi"), "-cpu", "max",
                "-smp", str(self.cpus), "-m", str(self.memory_mb),
                "-object", f"memory-backend-memfd,id=mem,size={self.memory_mb}M,share=on",
                "-numa", "node,memdev=mem",
                "-kernel", os.path.join(self.image, "vmlinuz"),
                "-initrd", os.path.join(self.image, "initrd.gz"),
                "-append", f"console=ttyS0 quiet panic=1 {self.kernel_arguments()}",
                "-serial", f"file:{self.rig.path(f'{self.name}-console.log')}",
                "-qmp", f"unix:{self._socket('qmp')},server=on,wait=off",
                "-chardev", f"socket,id=agent,path={self._socket('agent')},server=on,wait=off",
                "-device", "virtio-serial-pci,vectors=0",
                "-device", "virtserialport,chardev=agent,name=zcnet.agent", *self.devices()]

    def _socket(self, purpose):
        return self.rig.path(f"{self.name}-{purpose}.sock")

    def boot(self):
        self.child = self.rig.spawn(self.name, self.argv())
        self.qmp_file = self._connect("qmp").makefile("rw")
        self._qmp_read()
        self.qmp("qmp_capabilities")
        self.agent = self._connect("agent")
        threading.Thread(target=self._read_agent, daemon=True).start()
        try:
            self.wait_up(BOOT_SECONDS)
        except Late:
            # once in some hundred times an emulated machine hangs while it boots
            print(f"{self.name} did not boot within {BOOT_SECONDS} s: once more", flush=True)
            self.reset()

    def wait_up(self, timeout=150):
        """Until the agent says that the guest has booted."""
        self.kernel = self._answer("hello", timeout)[0]

    def _connect(self, purpose):
        """To a socket of QEMU, which listens once a vhost-user NIC has reached the switch."""
        sock = socket.socket(socket.AF_UNIX)

        def connect():
            if self.child.poll() is not None:
                raise Fail(f"QEMU ended with status {self.child.returncode}")
            sock.connect(self._socket(purpose))
            return True
        wait_for("QEMU", lambda: unless(OSError, connect), 30)
        return sock

    def _read_agent(self):
        with self.agent.makefile("rb") as answers:
            for line in answers:
                words = line.decode(errors="replace").split()
                if words[:1] == ["zc"]:
                    self.lines.put(words[1:])
        self.lines.put(None)

    def _ended(self):
        status = self.child.wait()
        kind = Crash if status == -signal.SIGSEGV else Fail
        return kind(f"QEMU ended with status {status}")

    def _answer(self, ident, timeout):
        """The rest of the agent's line that starts with ident; older lines are passed over."""
        end_time = time.monotonic() + timeout
        while True:
            try:
                words = self.lines.get(timeout=max(0.01, end_time - time.monotonic()))
            except queue.Empty:
                raise Late(f"the guest didn't answer within {timeout} s") from None
            if words is None:
                raise self._ended()
            if words[0] == ident and len(words) > 1:
                return words[1:]

    def run(self, command, timeout=60, check=True):
        """Run a shell command in the guest: what it printed, or (status, text) unless checked."""
        self.commands += 1
        ident = str(self.commands)
        try:
            self.agent.sendall(f"{ident} {base64.b64encode(command.encode()).decode()}\n".encode())
        except BrokenPipeError:
            raise self._ended() from None
        status, *output = self._answer(ident, timeout)
        text = base64.b64decode("".join(output)).decode(errors="replace")
        if not check:
            return int(status), text
        if status != "0":
            raise Fail(f"in the guest: {command}: status {status}: {text.strip()[-400:]}")
        return text

    def qmp(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self.qmp_file.write(json.dumps(request) + "\n")
        self.qmp_file.flush()
        while True:
            answer = self._qmp_read()
            if "error" in answer:
                raise Fail(f"QMP {command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def _qmp_read(self):
        line = unless(OSError, self.qmp_file.readline)
        if not line:
            raise Fail(f"QEMU ended with status {self.child.wait(10)}")
        return json.loads(line)

    def reset(self):
        """As the reset button would, and up again."""
        self.qmp("system_reset")
        self.wait_up()

    def stop(self):
        end(self.child)
        self.rig.children.remove(self.child)


class Guest(Vm):
    """The machine behind the switch: one virtio-net device over vhost-user."""

    def __init__(self, rig, switch, image, queues=1, mergeable=True, sysctl="", **options):
        super().__init__(rig, image, "guest0", cpus=queues, **options)
        self.switch = switch
        self.queues = queues
        self.mergeable = mergeable
        self.sysctl = sysctl

    def kernel_arguments(self):
        return f"zc.ip={GUEST_IP}/24" + (f" zc.sysctl={self.sysctl}" if self.sysctl else "")

    def devices(self):
        def on(condition):
            return "on" if condition else "off"
        # it reconnects when the switch comes back, or listens for the switch
        side = "server=on,wait=off" if self.switch.client else "reconnect=1"
        # QEMU 7.2 under TCG crashes when MSI-X is enabled on a vhost-user NIC: vectors=0
        return ["-chardev", f"socket,id=net0,path={self.switch.socket},{side}",
                "-netdev", f"vhost-user,id=net0,chardev=net0,queues={self.queues}",
                "-device", "virtio-net-pci,netdev=net0,mac=52:54:00:00:00:02,vectors=0,"
                f"mq={on(self.queues > 1)},mrg_rxbuf={on(self.mergeable)}"]


def ping(count=3):
    """From outside to the guest: the mean round trip in milliseconds."""
    run = subprocess.run(dying(["busybox", "ping", "-c", str(count), "-i", "0.3", "-W", "2",
                                GUEST_IP]),
                         capture_output=True, text=True)
    if run.returncode or f"{count} packets received" not in run.stdout:
        raise Fail(f"ping: {run.stdout.strip()[-200:]}{run.stderr}")
    return float(run.stdout.rsplit("= ", 1)[1].split("/")[1])


def wait_ping(timeout=30):
    """Until the guest answers again; a lost packet on the way is no failure."""
    wait_for("an answer to ping", lambda: unless(Fail, lambda: ping(1)), timeout)


class Iperf:
    """iperf3 between the outside and the guest; Gbit/s as seen by the receiver."""

    port = 5200

    def __init__(self, guest):
        self.guest = guest

    def to_guest(self, seconds=None, size=None):
        return self._run(seconds, size)

    def from_guest(self, seconds=None, size=None):
        return self._run(seconds, size, "-R")

    def _run(self, seconds, size, *options):
        # a server for each run on a port of its own: after a run it isn't back at once
        Iperf.port += 1
        self.guest.run(f"iperf3 -s -1 -D -p {self.port}; for i in $(seq 100); do netstat -ltn | "
                       f"grep -q :{self.port} && exit; sleep 0.1; done; exit 1")
        amount = ["-t", str(seconds)] if seconds else ["-n", str(size)]
        argv = ["iperf3", "-J", "-c", GUEST_IP, "-p", str(self.port), *amount, *options]
        try:
            run = subprocess.run(dying(argv), capture_output=True, text=True,
                                 timeout=(seconds or 0) + 60)
        except subprocess.TimeoutExpired:
            raise Fail(f"{' '.join(argv)} hangs") from None
        report = unless(ValueError, lambda: json.loads(run.stdout)) or {}
        if run.returncode or "error" in report:
            raise Fail(f"{' '.join(argv)}: {report.get('error', run.stdout + run.stderr)}")
        rate = report["end"]["sum_received"]["bits_per_second"] / 1e9
        if not rate:
            raise Fail(f"{' '.join(argv)}: no byte arrived")
        return rate


@contextlib.contextmanager
def listener(port):
    with socket.create_server((OUTSIDE_IP, port)) as server:
        server.settimeout(60)
        yield server


def send_file(guest, size):
    """A file of random bytes into the guest; its checksum is compared."""
    data = os.urandom(size)
    with listener(7001) as server:
        def serve():
            with contextlib.suppress(OSError):
                peer, _ = server.accept()
                with peer:
                    peer.sendall(data)
        thread = threading.Thread(target=serve)
        thread.start()
        digest = guest.run(f"nc {OUTSIDE_IP} 7001 </dev/null | sha256sum").split()[0]
        thread.join()
    compare("to the guest", size, hashlib.sha256(data).hexdigest(), digest)


def fetch_file(guest, size):
    """A file of random bytes out of the guest; its checksum is compared."""
    digest = guest.run(f"head -c {size} /dev/urandom > /tmp/file && sha256sum /tmp/file")
    received = hashlib.sha256()
    with listener(7002) as server:
        def take():
            with contextlib.suppress(OSError):
                peer, _ = server.accept()
                with peer:
                    while chunk := peer.recv(1 << 20):
                        received.update(chunk)
        thread = threading.Thread(target=take)
        thread.start()
        guest.run(f"nc {OUTSIDE_IP} 7002 < /tmp/file; rm /tmp/file")
        thread.join()
    compare("from the guest", size, digest.split()[0], received.hexdigest())


def share(counters):
    """Bytes without copy, in percent of all; None if nothing moved or the switch doesn't say."""
    if "zc_bytes" not in counters or not counters["bytes"]:
        return None
    return 100 * counters["zc_bytes"] / counters["bytes"]


def compare(way, size, sent, received):
    if sent != received:
        raise Fail(f"file of {size} bytes {way}: sha256 {sent} sent, {received} received")


def exchange(guest, size=4 << 20):
    """Traffic of every kind both ways, that many bytes each; the rates to and from the guest.

    By size and not by time: a busy machine makes it slow, but doesn't make it fail.
    """
    wait_ping()
    iperf = Iperf(guest)
    rates = iperf.to_guest(size=size), iperf.from_guest(size=size)
    send_file(guest, size)
    fetch_file(guest, size)
    guest.switch.check()
    return rates
