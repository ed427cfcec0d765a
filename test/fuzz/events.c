/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See events.h. The functions by which librte_vhost makes its thread, waits and accepts are
 * replaced: a program's own stand in front of a shared library's. The thread is a coroutine, which
 * is left where it would wait.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <ucontext.h>

#include <rte_thread.h>
#include <rte_version.h>

#include "events.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size) ((void)(save), (void)(bottom))
#define __sanitizer_finish_switch_fiber(save, bottom, size) ((void)(save), (void)(bottom))
#endif

/* ASan looks at all of it with each change. */
#define STACK_BYTES (256u * 1024)

#if RTE_VERSION < RTE_VERSION_NUM(23, 11, 0, 0)
typedef void *(*thread_main)(void *arg);
#else
typedef uint32_t (*thread_main)(void *arg);
#endif

struct flow {
	ucontext_t context;
	const void *stack;
	size_t bytes;
	void *fake; /* ASan's */
};

/* In no heap, so that what its frames point to counts as reachable. */
static uint8_t stack[STACK_BYTES];
static struct flow ours, theirs = { .stack = stack, .bytes = STACK_BYTES };
static thread_main body;
static void *body_arg;
static __thread bool inside; /* the coroutine runs */

/* ---- to and fro ---- */

static void
change(struct flow *from, struct flow *to)
{
	__sanitizer_start_switch_fiber(&from->fake, to->stack, to->bytes);
	swapcontext(&from->context, &to->context);
	__sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
}

static void
leave(void)
{
	inside = false;
	change(&theirs, &ours);
}

static void
enter(void)
{
	/* Where the other stack is isn't known before. */
	__sanitizer_finish_switch_fiber(NULL, &ours.stack, &ours.bytes);
	body(body_arg);
	abort();
}

void
events_run(void)
{
	static bool begun;

	if (body == NULL)
		return;
	if (!begun) {
		begun = true;
		getcontext(&theirs.context);
		theirs.context.uc_stack.ss_sp = stack;
		theirs.context.uc_stack.ss_size = STACK_BYTES;
		makecontext(&theirs.context, enter, 0);
	}
	inside = true;
	change(&ours, &theirs);
}

/* ---- what librte_vhost calls: how it makes the thread ---- */

static bool
is_event_thread(const char *name)
{
	return strcmp(name, "vhost-events") == 0 || strcmp(name, "vhost-evt") == 0;
}

static void *
next_of(const char *name)
{
	void *real = dlsym(RTLD_NEXT, name);

	if (real == NULL)
		abort();
	return real;
}

#if RTE_VERSION < RTE_VERSION_NUM(23, 11, 0, 0)
int rte_ctrl_thread_create(pthread_t *thread, const char *name, const pthread_attr_t *attr,
		thread_main run, void *arg);

int
rte_ctrl_thread_create(pthread_t *thread, const char *name, const pthread_attr_t *attr,
		thread_main run, void *arg)
{
	int (*real)(pthread_t *, const char *, const pthread_attr_t *, thread_main, void *);

	if (is_event_thread(name)) {
		body = run;
		body_arg = arg;
		*thread = pthread_self();
		return 0;
	}
	real = next_of(__func__);
	return real(thread, name, attr, run, arg);
}
#else
int rte_thread_create_internal_control(rte_thread_t *thread, const char *name, thread_main run,
		void *arg);

int
rte_thread_create_internal_control(rte_thread_t *thread, const char *name, thread_main run,
		void *arg)
{
	int (*real)(rte_thread_t *, const char *, thread_main, void *);

	if (is_event_thread(name)) {
		body = run;
		body_arg = arg;
		*thread = rte_thread_self();
		return 0;
	}
	real = next_of(__func__);
	return real(thread, name, run, arg);
}
#endif

/* ---- where it waits, and for whom ---- */

static int
real_poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	return ppoll(fds, n, ms < 0 ? NULL : &time, NULL);
}

int
poll(struct pollfd *fds, nfds_t n, int ms)
{
	int ret;

	if (!inside)
		return real_poll(fds, n, ms);
	while ((ret = real_poll(fds, n, 0)) == 0)
		leave();
	return ret;
}

/* What poll() becomes with _FORTIFY_SOURCE. */
int __poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t size);

int
__poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t size)
{
	(void)size;
	return poll(fds, n, ms);
}

int
epoll_wait(int epfd, struct epoll_event *events, int n, int ms)
{
	int ret;

	if (!inside)
		return epoll_pwait(epfd, events, n, ms, NULL);
	while ((ret = epoll_pwait(epfd, events, n, 0, NULL)) == 0)
		leave();
	return ret;
}

int
accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return accept4(fd, addr, len, inside ? SOCK_NONBLOCK : 0);
}
