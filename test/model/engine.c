/* SPDX-License-Identifier: BSD-3-Clause */
/* The NICs' own thread. */
#include <pthread.h>

#include "clock.h"
#include "model.h"

#define IDLE_US 20

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int waiting; /* for the lock, which the engine would else have all the time */

void
engine_lock(void)
{
	__atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&lock);
	__atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
}

void
engine_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

static unsigned int
work(struct model *model, uint64_t now)
{
	unsigned int n = 0;

	if (model_is(&model->link_down))
		return 0;
	for (unsigned int i = 0; i < MODEL_QUEUES_MAX; i++) {
		struct tx_queue *tx = model->tx[i];

		if (tx != NULL && (tx->running || model->traits.keeps_tx) && tx_is_async(tx) &&
				!model_is(&model->stall_tx))
			n += tx_work(tx, now);
	}
	for (unsigned int i = 0; i < MODEL_WIRES_MAX && !model_is(&model->stall_rx); i++)
		n += rx_work(model, &model->wire[i], now);
	return n;
}

static void *
engine(void *arg)
{
	(void)arg;
	for (;;) {
		unsigned int n = 0;
		uint64_t now;

		pthread_mutex_lock(&lock);
		iommu_hold();
		now = clock_us();
		for (struct model *model = models; model != NULL; model = model->next)
			n += work(model, now);
		iommu_release();
		pthread_mutex_unlock(&lock);
		if (n == 0 || __atomic_load_n(&waiting, __ATOMIC_RELAXED) > 0)
			clock_nap_us(IDLE_US);
	}
	return NULL;
}

/* A plain thread: it stays on the CPU of the one that starts it, away from the workers'. */
int
engine_start(void)
{
	static pthread_t thread;

	return thread != 0 ? 0 : -pthread_create(&thread, NULL, engine, NULL);
}
