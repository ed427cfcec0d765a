/* SPDX-License-Identifier: BSD-3-Clause */
/* Moving one burst: take, give, complete. */
#include "stream.h"

#include <string.h>

/*
 * Tries with a burst that the destination refuses, between two askings for transmits: one in
 * 1.6 us, in which a NIC of 10 Gbit/s sends 24 of the shortest frames.
 */
#define RETRIES 64

/* @return the source's buffers still out */
static uint32_t
give_back(struct zc_stream *stream, uint64_t now)
{
	struct zc_done done = stream->src->ops->complete(stream->src, stream->src_queue, now);

	if (done.worked)
		stream->work_tsc = now;
	return done.out;
}

/*
 * Guest buffers don't wait for new traffic to come back: ask the NIC by time.
 * @return true when some are out
 */
static bool
complete(struct zc_stream *stream, uint64_t now, uint64_t reap)
{
	const struct zc_port_ops *src = stream->src->ops;
	const struct zc_port_ops *dst = stream->dst->ops;

	if (src->complete == NULL || give_back(stream, now) == 0)
		return false;
	if (dst->reap == NULL || now - stream->reap_tsc < reap)
		return true;
	stream->reap_tsc = now;
	if (dst->reap(stream->dst, stream->dst_queue) && stream->npending == 0)
		src->all_done(stream->src, stream->src_queue);
	return give_back(stream, now) > 0;
}

/* Who took nothing isn't asked again at once: the neighbours would pay for the asking. */
static inline bool
may_try(const struct zc_stream *stream, uint64_t now, uint64_t reap)
{
	return now - stream->refused_tsc >= reap / RETRIES;
}

uint16_t
zc_stream_run(struct zc_stream *stream, uint64_t now, uint64_t reap)
{
	uint16_t n = stream->npending;
	uint16_t taken = 0, sent = 0;

	/* What was given to a guest in the turn before: it had time to become visible. */
	if (zc_stream_notify(stream))
		stream->work_tsc = now;
	/* Frames under way may belong to what control is changing. */
	if (unlikely(__atomic_load_n(stream->src_state, __ATOMIC_ACQUIRE) == ZC_QUEUE_HELD))
		return 0;
	if (n > 0 && !may_try(stream, now, reap))
		return 0;
	if (n == 0)
		n = taken = stream->src->ops->rx(stream->src, stream->src_queue, stream->pending,
				ZC_BURST);
	if (n > 0) {
		sent = stream->dst->ops->tx(stream->dst, stream->dst_queue, stream->pending, n);
		stream->npending = n - sent;
		if (unlikely(sent < n))
			memmove(stream->pending, stream->pending + sent,
					(n - sent) * sizeof(stream->pending[0]));
		if (unlikely(sent == 0))
			stream->refused_tsc = now;
	}
	if (taken > 0 || sent > 0)
		stream->work_tsc = now;
	if (complete(stream, now, reap) || n > 0)
		stream->busy_tsc = now;
	return sent;
}

bool
zc_stream_notify(struct zc_stream *stream)
{
	const struct zc_port_ops *dst = stream->dst->ops;

	return dst->notify != NULL && dst->notify(stream->dst, stream->dst_queue);
}

void
zc_stream_flush(struct zc_stream *stream)
{
	if (stream->npending == 0)
		return;
	rte_pktmbuf_free_bulk(stream->pending, stream->npending);
	stream->src->ops->dropped(stream->src, stream->src_queue, ZCNET_Q_drop_flushed,
			stream->npending);
	stream->npending = 0;
}
