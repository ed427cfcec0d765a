# SPDX-License-Identifier: BSD-3-Clause
"""A real NIC driver that does real DMA: zcnet inside a virtual machine with an emulated NIC and IOMMU.

    zcnet-guest -- vhost-user -- zcnet -- driver, vfio-pci, IOMMU -- NIC of QEMU | tap -- zcnet-wire

Left of the bar all is in the virtual machine. A wrong address is a DMAR fault in its kernel's log.
"""
import contextlib
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "qemu"))
import rig  # noqa: E402
from rig import Fail, Skip, wait_for  # noqa: E402

BUILD = os.path.realpath(os.environ.get("ZC_BUILD", os.path.join(rig.ROOT, "build")))
CACHE = os.environ.get("ZC_CACHE", os.path.join(rig.ROOT, ".cache"))
ZCNET = os.path.join(BUILD, "app", "zcnet")
GUEST = os.path.join(BUILD, "test", "lib", "zcnet-guest")
WIRE = os.path.join(BUILD, "test", "lib", "zcnet-wire")
TAP = "zcnic0"
SOCKET = "/tmp/guest0.sock"
MODULES = ("irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci",
           "uio_pci_generic")
DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_vmxnet3")

CONFIG = """
[port guest0]
type = vhost
path = {socket}
rx-full = wait

[port nic0]
type = ethdev
device = {address}
mtu = {mtu}

[connect c0]
a = guest0
b = nic0
"""

# what perl needs no module for: a question to DPDK's telemetry socket
ASK = """perl -e 'socket(S, 1, 5, 0) && connect(S, pack("S a108", 1, \
"/run/dpdk/zc/dpdk_telemetry.v2")) || exit 3; sysread(S, $t, 65536); syswrite(S, $ARGV[0]); \
sysread(S, $t, 65536); print $t' """


def image_arguments():
    for program in ZCNET, GUEST, WIRE:
        if not os.access(program, os.X_OK):
            raise Skip(f"{program} is not built: ./dev build")
    folder = subprocess.run(["pkg-config", "--variable=driverdir", "libdpdk"],
                            capture_output=True, text=True).stdout.strip()
    if not os.path.isdir(folder):
        folder = drivers_folder()
    arguments = [word for module in MODULES for word in ("-m", module)]
    # the image is made again when one of these is new, and not for libraries unnamed
    files = [ZCNET, GUEST, os.path.join(BUILD, "lib", "zcnet", "libzcnet.so"),
             os.path.join(BUILD, "drivers", "mempool", "guest", "librte_mempool_guest.so"),
             "/usr/bin/perl"]
    for driver in DRIVERS:
        names = [name for name in os.listdir(folder)
                 if re.fullmatch(rf"librte_{driver}\.so\.\d+", name)]
        if not names:
            raise Skip(f"{folder}: no librte_{driver}: apt-get install dpdk-dev")
        files.append(os.path.join(folder, names[0]))
    return arguments + [word for file in files for word in ("-f", file)]


def drivers_folder():
    parent = "/usr/lib/x86_64-linux-gnu/dpdk"
    found = os.path.isdir(parent) and sorted(os.listdir(parent))
    if not found:
        raise Skip(f"{parent}: no DPDK drivers: apt-get install dpdk-dev")
    return os.path.join(parent, found[-1])


def igb_qemu():
    """A QEMU that has an igb: the system's own, or the one that setup.sh put into the cache."""
    root = os.path.join(CACHE, "igb-qemu", "usr")
    command = ["env", f"QEMU_MODULE_DIR={root}/lib/x86_64-linux-gnu/qemu",
               f"{root}/bin/{rig.QEMU}", "-L", f"{root}/share/qemu"]
    if not os.path.isdir(root):
        command = [rig.QEMU]
    known = subprocess.run([*command, "-device", "igb,help"], capture_output=True, text=True)
    if "igb options" not in known.stdout:
        raise Skip("no QEMU with an igb: ./dev setup test")
    return command


class Machine(rig.Vm):
    """The machine that zcnet runs in. Its second CPU is the worker's alone."""

    def __init__(self, r, image, nic, iommu=True, aw_bits=48):
        super().__init__(r, image, "machine", cpus=3, memory_mb=1536)
        self.nic = nic
        self.iommu = iommu
        self.aw_bits = aw_bits
        if nic == "igb":
            self.qemu = igb_qemu()
        # no switch polls outside: all CPUs are for QEMU, and before others
        os.sched_setaffinity(0, range(os.cpu_count()))
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, -10)

    def kernel_arguments(self):
        # the first messages of a kernel with an IOMMU are many
        return "log_buf_len=4M isolcpus=1 " + ("intel_iommu=on iommu=pt" if self.iommu else
                                               "intel_iommu=off")

    def devices(self):
        return ["-M", "q35,kernel-irqchip=off", "-device",
                f"intel-iommu,caching-mode=on,aw-bits={self.aw_bits}",
                "-netdev", f"tap,id=n,ifname={TAP},script=no,downscript=no",
                "-device", f"{self.nic},netdev=n,mac=52:54:00:00:00:03,romfile="]

    def boot(self):
        super().boot()
        for command in (f"sysctl -qw net.ipv6.conf.{TAP}.disable_ipv6=1",
                        f"ip link set {TAP} mtu 9100 txqueuelen 10000 up"):
            subprocess.run(command.split(), check=True)
        self.run("mkdir -p /dev/hugepages && echo 256 > /proc/sys/vm/nr_hugepages && "
                 "mount -t hugetlbfs none /dev/hugepages && "
                 "test $(cat /proc/sys/vm/nr_hugepages) = 256")
        self.address = self.run(
            "for d in /sys/bus/pci/devices/*; do [ $(cat $d/class) = 0x020000 ] && "
            "echo ${d##*/}; done; true").strip()
        # Debian's vfio-pci takes no NIC without an IOMMU
        driver = "vfio-pci" if self.iommu else "uio_pci_generic"
        self.run(f"echo {driver} > /sys/bus/pci/devices/{self.address}/driver_override && "
                 f"echo {self.address} > /sys/bus/pci/drivers_probe && "
                 f"test -e /sys/bus/pci/drivers/{driver}/{self.address}")

    def start_zcnet(self, mtu=1500, iova="va"):
        config = CONFIG.format(socket=SOCKET, address=self.address, mtu=mtu)
        self.run(f"cat > /tmp/zcnet.conf <<'END'\n{config}\nEND\n"
                 f"{ZCNET} -l 0,1 --file-prefix zc --in-memory -m 192 --iova-mode {iova} "
                 f"-a {self.address} -- -c /tmp/zcnet.conf > /tmp/zcnet.log 2>&1 &")

        def up():
            if not self.run("pidof zcnet || true").strip():
                raise Fail(f"zcnet ended: {self.run('cat /tmp/zcnet.log')}")
            return self.ask("/zcnet/conn/list") and self.info("nic0")["link_up"]
        wait_for("link of the NIC", up, 60)

    def stop_zcnet(self):
        self.run("kill -TERM $(pidof zcnet); for i in $(seq 200); do pidof zcnet || exit 0; "
                 "sleep 0.1; done; exit 1")

    def ask(self, command):
        status, text = self.run(ASK + command, check=False)
        return None if status or not text else next(iter(json.loads(text).values()))

    def info(self, port):
        return self.ask(f"/zcnet/port/info,{port}")

    def stats(self, port="guest0"):
        return self.ask(f"/zcnet/port/stats,{port}")

    def guest_begin(self, *words):
        self.run("rm -f /tmp/go /tmp/guest.status /tmp/guest.out; "
                 f"(while [ ! -e /tmp/go ]; do sleep 0.1; done | {GUEST} --socket {SOCKET} "
                 f"{' '.join(map(str, words))} > /tmp/guest.out 2>&1;"
                 " echo $? > /tmp/guest.status) > /dev/null 2>&1 &")
        wait_for("guest port's link", lambda: self.info("guest0")["link_up"], 20)
        if self.iommu:
            wait_for("guest memory mapped for DMA", lambda: self.info("guest0")["zerocopy_tx"], 20)

    def guest_go(self):
        """What --hold waits for."""
        self.run("touch /tmp/go")

    def guest_end(self):
        self.guest_go()
        wait_for("zcnet-guest's end", lambda: self.run("cat /tmp/guest.status || true",
                                                       ).strip().isdigit(), 120)
        status, text = self.run("cat /tmp/guest.out; exit $(cat /tmp/guest.status)", check=False)
        if status:
            raise Fail(f"zcnet-guest: status {status}: {text[-800:]}")
        return json.loads(text.strip().splitlines()[-1])

    def faults(self):
        # vmxnet3 of QEMU reads its shared memory at address 0 whenever it is reset
        return [line for line in self.run("dmesg").splitlines() if "DMAR" in line and
                "fault addr" in line and not (self.nic == "vmxnet3" and "DMA Read" in line and
                                              "fault addr 0x0 " in line)]


class Wire:
    """zcnet-wire on the tap, listening when this returns."""

    def __init__(self, r, *words):
        self.words = words
        self.child = r.spawn("wire", [WIRE, "--interface", TAP, *map(str, words)],
                             stdin=subprocess.DEVNULL, output=subprocess.PIPE, text=True)
        self.first = self.child.stdout.readline()

    def end(self, timeout=180):
        try:
            text, _ = self.child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Fail(f"zcnet-wire {self.words} hangs") from None
        if self.child.returncode:
            raise Fail(f"zcnet-wire: status {self.child.returncode}: {self.first}{text[-800:]}")
        return json.loads(text.strip().splitlines()[-1])


def main(*tests):
    try:
        for test in tests:
            test()
    except Skip as reason:
        print(reason)
        sys.exit(reason.status)
    except Fail as error:
        sys.exit(f"FAIL: {error}")
