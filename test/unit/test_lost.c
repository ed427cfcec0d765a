/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory whose file is cut under us: zeros in its place, and nobody else's SIGBUS is hidden.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

#include "guest/lost.h"

#define PAGE 4096ULL
#define HUGE (2ULL << 20)
#define GIB (1ULL << 30)

static int
file_of(size_t bytes, unsigned int flags)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | flags);

	if (fd >= 0 && ftruncate(fd, bytes) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static struct zc_map *
map_of(int fd, uint64_t offset, uint64_t size)
{
	struct zc_region_desc desc = { .fd = fd, .offset = offset, .gpa = GIB, .size = size };
	struct zc_map *map = zc_map_create(&desc, 1, NULL);

	assert_non_null(map);
	return map;
}

static volatile uint8_t *
bytes_of(const struct zc_map *map)
{
	return map->region[0].hva;
}

/* cmocka takes SIGBUS for itself before each test. */
static void
begin(void **state)
{
	(void)state;
	assert_int_equal(zc_lost_init(), 0);
}

static void
cut_file(void **state)
{
	int fd = file_of(8 * PAGE, 0), other_fd = file_of(PAGE, 0);
	struct zc_map *map = map_of(fd, PAGE, 7 * PAGE), *other = map_of(other_fd, 0, PAGE);

	begin(state);
	memset(map->region[0].hva, 0x5a, 7 * PAGE);
	memset(other->region[0].hva, 0xa5, PAGE);
	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	/* What is still there is still there, until something is missed. */
	assert_int_equal(bytes_of(map)[PAGE], 0x5a);
	assert_false(zc_map_is_lost(map));
	assert_int_equal(bytes_of(map)[5 * PAGE], 0);
	assert_true(zc_map_is_lost(map));
	memset(map->region[0].hva, 0x77, 7 * PAGE);
	assert_int_equal(bytes_of(map)[7 * PAGE - 1], 0x77);
	assert_false(zc_map_is_lost(other));
	assert_int_equal(bytes_of(other)[0], 0xa5);
	zc_map_put(map);
	zc_map_put(other);
	close(fd);
	close(other_fd);
	zc_lost_fini();
}

static void
write_first(void **state)
{
	int fd = file_of(2 * PAGE, 0);
	struct zc_map *map = map_of(fd, 0, 2 * PAGE);

	begin(state);
	assert_int_equal(ftruncate(fd, 0), 0);
	bytes_of(map)[PAGE + 1] = 3;
	assert_int_equal(bytes_of(map)[PAGE + 1], 3);
	assert_true(zc_map_is_lost(map));
	zc_map_put(map);
	close(fd);
	zc_lost_fini();
}

/* A range that is used again begins anew. */
static void
used_again(void **state)
{
	begin(state);
	for (unsigned int i = 0; i < 100; i++) {
		int fd = file_of((1 + i % 3) * PAGE, 0);
		struct zc_map *map = map_of(fd, 0, (1 + i % 3) * PAGE);

		assert_false(zc_map_is_lost(map));
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(bytes_of(map)[i % 3 * PAGE], 0);
		assert_true(zc_map_is_lost(map));
		zc_map_put(map);
		close(fd);
	}
	zc_lost_fini();
}

static void
cut_hugepages(void **state)
{
	int fd = file_of(2 * HUGE, MFD_HUGETLB);
	struct zc_map *map;

	begin(state);
	if (fd < 0 || mmap(NULL, 2 * HUGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
		skip();
	map = map_of(fd, PAGE, HUGE);
	bytes_of(map)[0] = 0x5a;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(bytes_of(map)[HUGE - 1], 0);
	assert_int_equal(bytes_of(map)[0], 0);
	assert_true(zc_map_is_lost(map));
	zc_map_put(map);
	close(fd);
	zc_lost_fini();
}

/* librte_vhost's mapping, of which nobody told us: @flags of its file. */
static void
guarded(unsigned int flags, size_t page)
{
	int fd = file_of(3 * page, flags);
	uint8_t *base = fd < 0 ? MAP_FAILED :
				 mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		skip();
	zc_lost_guard_thread();
	assert_int_equal(ftruncate(fd, page), 0);
	base[0] = 9;
	assert_int_equal(*(volatile uint8_t *)(base + page + 17), 0);
	*(volatile uint8_t *)(base + 3 * page - 1) = 1;
	assert_int_equal(base[3 * page - 1], 1);
	assert_int_equal(base[0], 9);
	assert_int_equal(munmap(base, 3 * page), 0);
	close(fd);
}

static void
guarded_thread(void **state)
{
	begin(state);
	guarded(0, PAGE);
	zc_lost_fini();
}

static void
guarded_thread_hugepages(void **state)
{
	begin(state);
	guarded(MFD_HUGETLB, HUGE);
	zc_lost_fini();
}

/* ---- SIGBUS that is none of ours ---- */

static void
touch_beyond_a_file(void)
{
	int fd = file_of(PAGE, 0);
	volatile uint8_t *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED || ftruncate(fd, 0) < 0)
		_exit(7);
	_exit(at[0]);
}

static void
theirs(int sig)
{
	(void)sig;
	_exit(42);
}

static void
theirs_with_info(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	_exit(info->si_addr != NULL ? 43 : 44);
}

/* A child that had @action before us, and then does @what. @return its wait status */
static int
child(const struct sigaction *action, void (*what)(void))
{
	pid_t pid;
	int status;

	zc_lost_fini();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sigaction(SIGBUS, action, NULL);
		if (zc_lost_init() < 0)
			_exit(8);
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(zc_lost_init(), 0);
	return status;
}

static void
sent_by_somebody(void)
{
	raise(SIGBUS);
}

static void
default_action(void **state)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };
	int status = child(&action, touch_beyond_a_file);

	begin(state);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	status = child(&action, sent_by_somebody);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	zc_lost_fini();
}

static void
handler_before_us(void **state)
{
	const struct sigaction plain = { .sa_handler = theirs };
	const struct sigaction info = { .sa_sigaction = theirs_with_info, .sa_flags = SA_SIGINFO };

	begin(state);
	assert_int_equal(WEXITSTATUS(child(&plain, touch_beyond_a_file)), 42);
	assert_int_equal(WEXITSTATUS(child(&plain, sent_by_somebody)), 42);
	assert_int_equal(WEXITSTATUS(child(&info, touch_beyond_a_file)), 43);
	zc_lost_fini();
}

static void
given_back(void)
{
	struct sigaction now;

	zc_lost_fini();
	sigaction(SIGBUS, NULL, &now);
	_exit(now.sa_handler == theirs ? 45 : 46);
}

static void
handler_after_us(void)
{
	struct sigaction now;

	signal(SIGBUS, theirs);
	zc_lost_fini();
	sigaction(SIGBUS, NULL, &now);
	_exit(now.sa_handler == theirs ? 47 : 48);
}

static void
end(void **state)
{
	const struct sigaction plain = { .sa_handler = theirs };
	const struct sigaction none = { .sa_handler = SIG_DFL };

	begin(state);
	assert_int_equal(WEXITSTATUS(child(&plain, given_back)), 45);
	assert_int_equal(WEXITSTATUS(child(&none, handler_after_us)), 47);
	zc_lost_fini();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_file),
		cmocka_unit_test(write_first),
		cmocka_unit_test(used_again),
		cmocka_unit_test(cut_hugepages),
		/* Before a thread is guarded, for it stays so. */
		cmocka_unit_test(default_action),
		cmocka_unit_test(handler_before_us),
		cmocka_unit_test(end),
		cmocka_unit_test(guarded_thread),
		cmocka_unit_test(guarded_thread_hugepages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
