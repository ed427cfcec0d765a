/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: where frames enter and leave. A vhost port is a guest's virtio-net device, an ethdev
 * port is a NIC.
 *
 * Directions are the switch's, as in testpmd: "rx" of a vhost port is what its guest sends.
 */
#ifndef ZCNET_PORT_H
#define ZCNET_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Longest name of a port or connection, with the terminating 0. Names: letters, digits, '_',
 * '-', '.', ':'.
 */
#define ZCNET_NAME_MAX 32
/** Longest socket path with the terminating 0 (sockaddr_un). */
#define ZCNET_PATH_MAX 108
/** Most queue pairs of a port. */
#define ZCNET_QUEUES_MAX 16
/** Bytes of a frame that may be kept from a guest: Ethernet header and VLAN tag at least. */
#define ZCNET_SPLIT_MIN 18
#define ZCNET_SPLIT_MAX 256

struct zcnet_port;

enum zcnet_port_type {
	ZCNET_PORT_VHOST,
	ZCNET_PORT_ETHDEV,
};

/** What to do with a frame for a guest that has no buffer posted. */
enum zcnet_rx_full {
	ZCNET_RX_FULL_DROP, /**< drop it and count it (drop_no_buffer) */
	ZCNET_RX_FULL_WAIT, /**< hold it, and take no more from the source until there is room */
};

struct zcnet_vhost_conf {
	const char *name;
	const char *path; /**< UNIX socket */
	uint16_t queues;  /**< queue pairs offered, 1..ZCNET_QUEUES_MAX */
	bool client;      /**< false: zcnet listens, the front-end connects; true: zcnet connects */
	bool mergeable;   /**< offer VIRTIO_NET_F_MRG_RXBUF */
	/**
	 * Offer VIRTIO_NET_F_GUEST_TSO4, and GUEST_CSUM that it needs (virtio 1.2, 5.1.3.1). No
	 * frame is ever merged for the guest, which a device may leave; but a Linux guest without
	 * mergeable buffers then posts chains whose first data buffer has 4 KB, and these suit
	 * NICs that count buffers in coarse steps.
	 */
	bool guest_tso;
	bool zerocopy;         /**< false: always copy */
	uint32_t threshold;    /**< bytes; shorter frames from the guest are copied */
	uint16_t header_bytes; /**< copied to a private segment before the payload, 0..256 */
	uint16_t out_max;      /**< most guest buffers out at a time and queue, 1..1024 */
	enum zcnet_rx_full rx_full;
	const char *owner; /**< user that owns the socket, NULL: leave; listening side only */
	const char *group; /**< group of the socket, NULL: leave */
	mode_t mode;       /**< permissions of the socket, 0: leave */
};

struct zcnet_ethdev_conf {
	const char *name;
	const char *device; /**< EAL device (net_tap0, 0000:03:00.0) or devargs to probe */
	uint16_t queues;    /**< RX and TX queue pairs, 1..ZCNET_QUEUES_MAX */
	uint16_t rx_desc;   /**< 0: what suits zero copy on this driver */
	uint16_t tx_desc;   /**< 0: likewise */
	uint16_t mtu;       /**< 0: leave as it is */
	/**
	 * A frame's first bytes are received into the host's memory, and copied to the guest's when
	 * it is delivered; 0: all of it lies in the guest's, or ZCNET_SPLIT_MIN..ZCNET_SPLIT_MAX.
	 * Where the NIC receives copies anyway, it means nothing.
	 */
	uint16_t split_bytes;
	bool promiscuous;
	bool loopback; /**< for tests: the NIC receives what it sends; where the driver can */
	bool zerocopy; /**< false: always copy */
};

/**
 * Defaults: 1 queue, server, mergeable, zero copy, threshold 256, no header segment, 1024 out,
 * drop.
 */
void zcnet_vhost_conf_init(struct zcnet_vhost_conf *conf);

/** Defaults: 1 queue, promiscuous, zero copy where the driver table allows it. */
void zcnet_ethdev_conf_init(struct zcnet_ethdev_conf *conf);

/**
 * Create a guest port and offer its socket. The port is started.
 *
 * A stale socket at @p path that nobody listens on is removed first; anything else there is an
 * error.
 *
 * @return the port, or NULL with rte_errno EINVAL (a value), EEXIST (name in use), EADDRINUSE
 *   (the path is),
 *   ENOMEM, or what the system said
 */
struct zcnet_port *zcnet_port_vhost_create(const struct zcnet_vhost_conf *conf);

/**
 * Create a NIC port over an ethdev and start it. The port owns the ethdev from here on.
 *
 * @return the port, or NULL with rte_errno EINVAL, EEXIST, ENODEV (no such device), ENOTSUP (the
 *   driver isn't known to do that), or what the driver said
 */
struct zcnet_port *zcnet_port_ethdev_create(const struct zcnet_ethdev_conf *conf);

/**
 * Start a stopped port; a started one is left alone. A vhost port takes its guest up again, an
 * ethdev port starts the NIC.
 */
int zcnet_port_start(struct zcnet_port *port);

/** Stop moving frames through the port; every guest buffer comes back to its guest. */
int zcnet_port_stop(struct zcnet_port *port);

/**
 * Stop the port and free it. NULL is accepted.
 *
 * @return 0, or -EBUSY while a connection uses it
 */
int zcnet_port_destroy(struct zcnet_port *port);

struct zcnet_port *zcnet_port_find(const char *name);

/** Ports in order of creation: the first for NULL, NULL after the last. */
struct zcnet_port *zcnet_port_next(const struct zcnet_port *prev);

const char *zcnet_port_name(const struct zcnet_port *port);

/**
 * @name Settings that take effect on a running port. -ENOTSUP for the wrong type of port,
 * -EINVAL for a bad value.
 */
/**@{*/
int zcnet_port_set_threshold(struct zcnet_port *port, uint32_t bytes);
int zcnet_port_set_header_bytes(struct zcnet_port *port, uint16_t bytes);
int zcnet_port_set_zerocopy(struct zcnet_port *port, bool on);
int zcnet_port_set_rx_full(struct zcnet_port *port, enum zcnet_rx_full rx_full);
/**@}*/

struct zcnet_port_info {
	char name[ZCNET_NAME_MAX];
	enum zcnet_port_type type;
	bool started;
	bool link_up;         /**< vhost: a guest is connected and its driver ready */
	uint16_t queues;      /**< configured */
	uint16_t queues_used; /**< vhost: pairs the guest enabled; ethdev: all */
	bool zerocopy;        /**< as configured */
	bool zerocopy_tx;     /**< ethdev: sends from guest memory; vhost: frames are attached */
	bool zerocopy_rx;     /**< ethdev: receive queues can be armed */
	char note[128];       /**< why zero copy is off or limited, "" when it isn't */
	/* vhost */
	char path[ZCNET_PATH_MAX];
	bool client;
	uint64_t features;  /**< negotiated virtio features, 0 while no guest is there */
	uint32_t threshold; /**< bytes */
	uint16_t header_bytes;
	uint16_t out_max;
	enum zcnet_rx_full rx_full;
	uint16_t ring_size; /**< descriptors of queue 0, 0 while no guest is there */
	/* ethdev */
	char device[64];
	char driver[32];
	uint16_t port_id;
	uint16_t rx_desc;
	uint16_t tx_desc;
	uint16_t mtu;
	uint16_t split_bytes; /**< in force */
	uint32_t link_mbps;
	uint8_t mac[6];
	int socket; /**< NUMA node, -1 unknown */
};

int zcnet_port_info_get(const struct zcnet_port *port, struct zcnet_port_info *info);

#ifdef __cplusplus
}
#endif

#endif
