# SPDX-License-Identifier: BSD-3-Clause
"""A guest loses its memory under traffic. The other guest is on the same worker."""
import signal

import rig as r

SENDS, RECEIVES = 'flood', 'sink'


def start(rig, device, **keys):
    zc = rig.zcnet(rig.vhost('guest0', **keys) + rig.vhost('guest1') +
                   r.ethdev('nic0', 'net_null0') + r.ethdev('nic1', 'net_null1') +
                   r.connect('guest0', 'nic0', 'c0') + r.connect('guest1', 'nic1', 'c1'),
                   [device, 'net_null1,no-rx=1'])
    other = rig.guest('--size', 512, '--seconds', 100, 'flood', name='guest1')
    zc.guest_up('guest1')
    return zc, other


def goes_on(zc, other):
    before = zc.stats('guest1', 'rx')['frames']
    r.wait_for('frames of guest1', lambda: zc.stats('guest1', 'rx')['frames'] > before + 10000,
               10, [zc, other])


def vanish(rig, zc, what, mode, *args, lose=lambda zc, guest: guest.go()):
    """A guest that is seen at work, and then without its memory.

    lose: tell it to
    """
    guest = rig.guest('--regions', 2, '--seconds', 100, '--cut', what, *args, mode)
    zc.guest_up()
    direction = 'rx' if mode == SENDS else 'tx'
    before = zc.stats('guest0', direction)['frames']
    r.wait_for('frames of guest0', lambda: zc.stats('guest0', direction)['frames'] > before + 1000,
               10, [zc, guest])
    lose(zc, guest)
    zc.guest_gone()
    r.wait_for('its log line', lambda: "guest0: the guest's memory vanished" in zc.complaints())
    zc.nothing_out()
    r.check(guest.poll() is None, f'the guest has ended itself: {guest.complaints()}')
    guest.stop(signal.SIGKILL)      # it would wait for its frames


def served(rig, zc):
    """A guest with memory of its own, on the port of the one that lost its."""
    guest = rig.guest('--size', 1518, '--seconds', 100, 'flood')
    zc.guest_up()
    before = zc.stats('guest0', 'rx')['frames']
    r.wait_for('frames of the next guest0',
               lambda: zc.stats('guest0', 'rx')['frames'] > before + 1000, 10, [zc, guest])
    r.check(guest.stop() == 0, 'the next guest did not end well')
    zc.guest_gone()


def well_again(rig, zc, other):
    """The next guest is served; the other one has lost nothing."""
    served(rig, zc)
    r.wait_for('its memory is unmapped', lambda: zc.guest_memory() == other.guest_memory())
    goes_on(zc, other)
    stats = zc.stats('guest1', 'rx')
    r.check(not any(stats[key] for key in stats if key.startswith('drop_')), f'{stats}')
    r.check(zc.complaints().count('port guest1: guest connected') == 1, 'guest1 was interrupted')
    r.check(other.stop() == 0, f'guest1: {other.complaints()}')
    r.check('"in_order":true' in other.output(), f'guest1: {other.output()}')
    r.check(zc.stop() == 0, 'zcnet did not end well')
