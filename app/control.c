/* SPDX-License-Identifier: BSD-3-Clause */
/* The lock and the signals. */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool library_up;
static int signal_fd = -1;

int
app_signals_init(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -EINVAL;
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return signal_fd < 0 ? -errno : 0;
}

/* The signal stays unread, so that every later look sees it. */
bool
app_stopping(void)
{
	struct pollfd pfd = { .fd = signal_fd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

bool
app_wait(int fd, int ms)
{
	struct pollfd pfd[] = {
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	long end = now_ms() + ms, left = ms;
	int n;

	do {
		n = poll(pfd, 2, left);
		if (n > 0)
			return pfd[0].revents == 0 && pfd[1].revents != 0;
		left = ms < 0 ? -1 : end - now_ms();
	} while (n < 0 && errno == EINTR && (ms < 0 || left > 0));
	return false;
}

void
app_lock(void)
{
	pthread_mutex_lock(&lock);
}

void
app_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

bool
app_lock_if_up(void)
{
	app_lock();
	if (library_up)
		return true;
	app_unlock();
	return false;
}

void
app_set_up(bool up)
{
	library_up = up;
}
