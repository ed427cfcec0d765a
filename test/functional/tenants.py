# SPDX-License-Identifier: BSD-3-Clause
"""Whose bytes may lie in whose memory, while bindings change under traffic that never ends.

Every frame repeats a word of four letters: one for whom it is sent, and the number of the epoch in
which it is. An epoch lasts from when the switch has answered the last command of a change to the next
such answer. What is sent in an epoch belongs to whoever was bound to its
address then; what was still under way when it ended may belong to whoever is bound in the next
one. Nobody else may have it: neither in a frame that the guest is given, nor anywhere in its memory.

Guests are zcnet-guest's words: they note every word that they are given, and this process looks
through their memory, which it has from /proc.
"""
import itertools
import mmap
import os
import re
import socket
import threading
import time

import rig as r

WORD = re.compile(rb'([A-Za-z]\d{3})\1')
GUEST_ARGS = ('--slot-bytes', 2304, '--bufsize', 2048)
ETHERTYPE = b'\x88\xb6'
LENGTHS = (60, 300, 1000, 1514)


class Books:
    """Who is bound how, in each epoch. A binding is the guest's, and says what it takes."""

    def __init__(self, takes):
        self.takes = takes      # of a binding and a letter
        self.own = {}           # letter that a guest sends itself
        self.epochs = []
        self.had = set()        # letters that came to one whose they were

    def confirmed(self, bindings):
        """A new epoch, in which these hold. Its number."""
        self.epochs.append(dict(bindings))
        r.check(len(self.epochs) <= 1000, 'epochs have three digits')
        return len(self.epochs) - 1

    def word(self, letter):
        return f'{letter}{len(self.epochs) - 1:03}'

    def may_have(self, guest, word):
        epoch = int(word[1:])
        return word[0] == self.own.get(guest) or any(guest in bound and self.takes(bound[guest], word[0])
                   for bound in self.epochs[epoch:epoch + 2])

    def were_for(self, letters):
        """Those of these that somebody was bound to be sent."""
        return {letter for letter in letters for bound in self.epochs for place in bound.values()
                if self.takes(place, letter)}

    def judge(self, guest, words, where):
        wrong = sorted(word for word in words if not self.may_have(guest, word))
        r.check(not wrong, f'{guest} has {wrong} {where}; now is {len(self.epochs) - 1}, '
                f'bindings were {[self.epochs[int(word[1:])] for word in wrong[:3]]}')
        self.had.update(word[0] for word in words)


class Guest:
    """zcnet-guest's words on a port, and its memory."""

    def __init__(self, rig, zc, port, *args, pairs=1):
        self.rig, self.zc, self.port, self.args, self.pairs = rig, zc, port, args, pairs
        self.start()

    def start(self):
        self.process = self.rig.guest(*GUEST_ARGS, *self.args, 'words', name=self.port)
        self.zc.guest_up(self.port, self.pairs)

    def regions(self):
        """Its memory, opened."""
        base = f'/proc/{self.process.pid}/fd'
        for fd in os.listdir(base):
            if os.readlink(f'{base}/{fd}').startswith('/memfd:guest'):
                with open(f'{base}/{fd}', 'r+b') as region:
                    yield mmap.mmap(region.fileno(), 0)

    def words(self):
        """All that lie in its memory now, in a copy: it goes on changing."""
        return {word.decode() for region in self.regions()
                for word in WORD.findall(region[:])}

    def order(self, order, timeout=20):
        """One of its orders, and its answer."""
        begin = len(self.process.output())
        self.process.stdin.write(f'{order}\n'.encode())
        self.process.stdin.flush()
        return r.wait_for(f'{self.port}: {order}', lambda: self.process.output()[begin:], timeout,
                          [self.process, self.zc])

    def stop_and_back(self, meanwhile):
        """Its device is reset; what it has taken back then nobody writes."""
        self.order('stop')
        meanwhile()
        r.check('"written":0}' in self.order('back'), f'{self.port}: written after the reset: '
                f'{self.process.output()}')
        self.zc.guest_up(self.port, self.pairs)

    def kill(self, meanwhile):
        """Its process goes without a word; when the switch says that it knows, no byte changes."""
        memory = list(self.regions())
        self.process.kill()
        self.process.wait()
        self.zc.guest_gone(self.port)
        for region in memory:
            region[:] = b'\xa5' * len(region)
        meanwhile()
        written = sum(len(region) - region[:].count(b'\xa5') for region in memory)
        r.check(written == 0, f'{self.port}: {written} bytes were written after its end')
        self.start()

    def finish(self):
        """Its notes."""
        self.process.stop()
        result = self.process.result()
        r.check(result['mixed'] == 0, f'{self.port}: {result["mixed"]} frames of several words')
        return result['seen']


class Wire(threading.Thread):
    """Frames of every kind onto an interface, in bursts.

    Between them it sleeps. Without that, on kernel 6.18, senders and guests kept the kernel's RCU
    threads from running on their CPU for a minute, and whoever took a tap down waited as long.
    """

    BURST = 64

    def __init__(self, interface, kinds):
        """kinds: by letter the destination and the VLAN, 0 for none."""
        super().__init__(daemon=True)
        self.kinds = kinds
        self.frames = []
        self.sent = 0
        self.ends = False
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.bind((interface, 0))

    def say(self, books):
        """From now on the words of this epoch."""
        self.frames = [tagged(*kind, books.word(letter), length)
                       for length in LENGTHS for letter, kind in self.kinds.items()]

    def hush(self):
        self.frames = []

    def run(self):
        while not self.ends:
            for frame in itertools.islice(itertools.cycle(self.frames), self.BURST):
                try:
                    self.socket.send(frame)
                    self.sent += 1
                except OSError:
                    pass        # the interface is full, or down while a NIC is restarted
            time.sleep(0.001)

    def stop(self):
        self.ends = True
        self.join()
        self.socket.close()


def tagged(mac, vlan, word, length):
    frame = bytes.fromhex(mac.replace(':', '')) + bytes.fromhex('020000000001')
    if vlan:
        frame += b'\x81\x00' + vlan.to_bytes(2, 'big')
    frame += ETHERTYPE
    return frame + (word * length).encode()[:length - len(frame)]


def more_frames(zc, nic, count=2000):
    begin = zc.stats(nic, 'rx')['frames']
    r.wait_for(f'frames of {nic}', lambda: zc.stats(nic, 'rx')['frames'] >= begin + count, 20, [zc])


def look_at(books, guests, expecting):
    """Judge all memory, until those who are sent something have some of this epoch."""
    now = f'{len(books.epochs) - 1:03}'

    def arrived(guest):
        words = guest.words()
        books.judge(guest.port, words, 'in its memory')
        return any(word.endswith(now) and word[0] != books.own.get(guest.port) for word in words)
    for guest in guests:
        if guest.port in expecting:
            r.wait_for(f'{guest.port} is sent words of {now}', lambda g=guest: arrived(g), 20,
                       [guest.process, guest.zc])
    for guest in guests:
        books.judge(guest.port, guest.words(), 'in its memory')


def finish(books, guests):
    for guest in guests:
        books.judge(guest.port, guest.words(), 'in its memory')
        books.judge(guest.port, guest.finish(), 'among its frames')
    print(f'  {len(books.epochs)} epochs')


class World:
    """Guests, places that they can be bound to, and what happens to them."""

    STEPS = 'move', 'unbind_and_bind', 'reset', 'kill', 'restart', 'replace'

    def __init__(self, zc, guests, places, books, say, hush, add):
        """
        places: how a connection to it goes on after the guest's name; the first is its NIC
        say: let the cables of all NICs send the words of this epoch
        hush: let them send nothing
        add: the command that adds a guest's port
        """
        self.zc, self.guests, self.places, self.books = zc, guests, places, books
        self.say, self.hush, self.add = say, hush, add
        self.bound = {}
        for guest, place in zip(guests, places):
            self.bind(guest, place)
        self.confirmed()

    def bind(self, guest, place):
        self.zc.shell(f'bind {guest.port}-c {guest.port} {place}')
        self.bound[guest.port] = place

    def unbind(self, guest):
        self.zc.shell(f'unbind {guest.port}-c')
        return self.bound.pop(guest.port)

    def confirmed(self):
        self.books.confirmed(self.bound)
        self.say(self.books)
        look_at(self.books, self.guests, self.bound)

    def silence(self):
        """Nothing comes in any more: buffers that NICs have stay with them."""
        nics = {place.split()[0] for place in self.places}

        def same():
            before = [self.zc.stats(nic, 'rx')['frames'] for nic in nics]
            time.sleep(0.02)    # in which a frame would come
            return before == [self.zc.stats(nic, 'rx')['frames'] for nic in nics]
        self.hush()
        r.wait_for('silence', same, 20, [self.zc])

    def nic_goes_on(self, guest):
        def wait():
            self.say(self.books)
            more_frames(self.zc, self.bound[guest.port].split()[0])
        return wait

    def move(self, rng, _guest):
        """Guests change places, and no two of them have one at the same time."""
        before = dict(self.bound)
        after = before
        while after == before:
            after = dict(zip(before, rng.sample(self.places, len(before))))
        movers = [guest for guest in self.guests if after[guest.port] != before[guest.port]]
        for guest in movers:
            self.unbind(guest)
        for guest in movers:
            self.bind(guest, after[guest.port])

    def unbind_and_bind(self, _rng, guest):
        place = self.unbind(guest)
        self.confirmed()
        self.bind(guest, place)

    def reset(self, _rng, guest):
        guest.stop_and_back(self.nic_goes_on(guest))

    def kill(self, _rng, guest):
        guest.kill(self.nic_goes_on(guest))

    def restart(self, _rng, guest):
        nic = self.bound[guest.port].split()[0]
        self.zc.shell(f'port stop {nic}')
        self.zc.shell(f'port start {nic}')

    def replace(self, _rng, guest):
        """Its port is deleted and made again, for another guest."""
        place = self.unbind(guest)
        self.books.judge(guest.port, guest.finish(), 'among its frames')
        self.zc.shell(f'port del {guest.port}')
        self.zc.shell(self.add(guest.port))
        self.bind(guest, place)
        guest.start()

    def steps(self, rng, rounds):
        """Every kind of step so many times, in any order and to any guest, busy NICs or not."""
        for _ in range(rounds):
            for step in rng.sample(self.STEPS, len(self.STEPS)):
                guest = rng.choice(self.guests)
                if rng.random() < 0.5:
                    self.silence()
                getattr(self, step)(rng, guest)
                self.confirmed()

    def finish(self):
        finish(self.books, self.guests)


def region_removed(rig):
    """On guest0, which receives all the time: memory that is taken out of its table stays as it is."""
    said = rig.said('quiet_after_region_removed')
    status = said.finish(60)
    r.check(status == 0, f'{said.output().strip()[-300:]} {said.complaints()[-300:]}')
