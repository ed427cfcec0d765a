/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors: the sentence of the last failure, one a thread.
 */
#include <pthread.h>

#include "rig.h"

#include "core/error.h"

static void
answer_errno_and_sentence(void **state)
{
	(void)state;
	assert_string_equal(zc_last_error(), "");
	assert_int_equal(zc_fail(ENODEV, "port %s: no device %d", "nic", 7), -ENODEV);
	assert_int_equal(rte_errno, ENODEV);
	assert_string_equal(zc_last_error(), "port nic: no device 7");
	assert_int_equal(zc_fail(EINVAL, "other"), -EINVAL);
	assert_string_equal(zc_last_error(), "other");
}

static void
long_sentences_are_cut(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(zc_fail(E2BIG, "%s", text), -E2BIG);
	assert_true(strlen(zc_last_error()) > 100);
	assert_true(strlen(zc_last_error()) < sizeof(text) - 1);
}

static void *
fail_elsewhere(void *arg)
{
	(void)arg;
	assert_string_equal(zc_last_error(), "");
	zc_fail(EIO, "elsewhere");
	return NULL;
}

static void
threads_have_their_own(void **state)
{
	pthread_t thread;

	(void)state;
	zc_fail(EPERM, "here");
	assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	assert_string_equal(zc_last_error(), "here");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answer_errno_and_sentence),
		cmocka_unit_test(long_sentences_are_cut),
		cmocka_unit_test(threads_have_their_own),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
