/* SPDX-License-Identifier: BSD-3-Clause */
/* The control lock. */
#include "control.h"

#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static void (*on_change)(void);

void
zc_control_lock(void)
{
	pthread_mutex_lock(&lock);
}

void
zc_control_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void
zc_control_changed(void)
{
	if (on_change != NULL)
		on_change();
}

void
zc_control_on_change(void (*changed)(void))
{
	on_change = changed;
}
