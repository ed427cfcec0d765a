/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file: good ones, each way to be wrong with the words that name it, the limits
 * of rte_cfgfile, and the samples that are shipped. No EAL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#define VHOST "[port g1]\ntype = vhost\npath = /tmp/g1\n"
#define ETHDEV "[port n1]\ntype = ethdev\ndevice = net_tap0\n"
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define HUNDRED FIFTY FIFTY

static char file_name[] = "/tmp/zcnet-config.XXXXXX";

static void
write_file(const void *text, size_t len)
{
	FILE *file = fopen(file_name, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

static int
load(const char *text, struct app_config *config, char *err)
{
	write_file(text, strlen(text));
	return app_config_load(file_name, config, err, APP_ERROR_MAX);
}

static void
load_good(const char *text, struct app_config *config)
{
	char err[APP_ERROR_MAX] = "";

	if (load(text, config, err) != 0)
		fail_msg("%s\n%s", err, text);
}

static int
setup(void **state)
{
	int fd = mkstemp(file_name);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int
teardown(void **state)
{
	(void)state;
	return unlink(file_name);
}

static void
test_everything_given(void **state)
{
	struct app_config c;

	(void)state;
	load_good("# a comment\n"
		  "[connect c]\na = g1\nb = n1\nworker = 3\n"
		  "[port g1]\r\n  type=vhost  # behind a value\n\tpath\t=\t/run/a b.sock\n"
		  "queues = 4\nclient = no\nmergeable = off\nzerocopy = yes\nthreshold = 0\n"
		  "header-bytes = 256\nout-max = 1\nrx-full = wait\nowner = root\ngroup = root\n"
		  "mode = 0660\n\n"
		  "[port n1]\ndevice = net_tap0,iface=x\ntype = ethdev\nqueues = 16\n"
		  "rx-desc = 1024\ntx-desc = 512\nmtu = 9000\nsplit-bytes = 18\n"
		  "promiscuous = off\nzerocopy = off",
			&c);
	assert_int_equal(c.port_count, 2);
	assert_string_equal(c.ports[0].name, "g1");
	assert_int_equal(c.ports[0].type, ZCNET_PORT_VHOST);
	assert_string_equal(c.ports[0].path, "/run/a b.sock");
	assert_int_equal(c.ports[0].vhost.queues, 4);
	assert_false(c.ports[0].vhost.client);
	assert_false(c.ports[0].vhost.mergeable);
	assert_true(c.ports[0].vhost.zerocopy);
	assert_int_equal(c.ports[0].vhost.threshold, 0);
	assert_int_equal(c.ports[0].vhost.header_bytes, 256);
	assert_int_equal(c.ports[0].vhost.out_max, 1);
	assert_int_equal(c.ports[0].vhost.rx_full, ZCNET_RX_FULL_WAIT);
	assert_string_equal(c.ports[0].owner, "root");
	assert_string_equal(c.ports[0].group, "root");
	assert_int_equal(c.ports[0].vhost.mode, 0660);
	assert_string_equal(c.ports[1].device, "net_tap0,iface=x");
	assert_int_equal(c.ports[1].ethdev.split_bytes, 18);
	assert_int_equal(c.ports[1].ethdev.queues, 16);
	assert_int_equal(c.ports[1].ethdev.rx_desc, 1024);
	assert_int_equal(c.ports[1].ethdev.tx_desc, 512);
	assert_int_equal(c.ports[1].ethdev.mtu, 9000);
	assert_false(c.ports[1].ethdev.promiscuous);
	assert_false(c.ports[1].ethdev.zerocopy);
	assert_int_equal(c.conn_count, 1);
	assert_string_equal(c.conns[0].a, "g1");
	assert_string_equal(c.conns[0].b, "n1");
	assert_int_equal(c.conns[0].worker, 3);
	app_config_free(&c);
	assert_null(c.ports);
}

static void
test_empty_is_nothing(void **state)
{
	struct app_config c;

	(void)state;
	load_good("", &c);
	assert_int_equal(c.port_count + c.conn_count, 0);
	load_good("\n  \n# only a comment, path = x", &c);
	assert_int_equal(c.port_count + c.conn_count, 0);
}

/* rte_cfgfile allocates sections by 8 and entries by 16. */
static void
test_many_sections(void **state)
{
	char *text = calloc(1, 200 * 64), name[16];
	struct app_config c;
	unsigned int i;

	(void)state;
	assert_non_null(text);
	for (i = 0; i < 200; i++)
		sprintf(text + strlen(text), "[port g%u]\ntype = vhost\npath = /tmp/g%u\n", i, i);
	load_good(text, &c);
	assert_int_equal(c.port_count, 200);
	for (i = 0; i < 200; i++) {
		sprintf(name, "g%u", i);
		assert_string_equal(c.ports[i].name, name);
	}
	app_config_free(&c);
	free(text);
}

/* What help prints as default is what the library does. */
static void
check_presets(enum app_object object, enum zcnet_port_type type)
{
	const struct app_key *key;
	char err[APP_ERROR_MAX];
	struct app_port x, y;

	for (key = app_keys(object); key->name != NULL; key++) {
		if (key->required || strcmp(key->preset, "as created") == 0)
			continue;
		app_port_init(&x, "x", type);
		app_port_init(&y, "x", type);
		if (app_key_set(key, &y, key->preset, err, sizeof(err)) != 0)
			fail_msg("%s: %s", key->name, err);
		if (memcmp((char *)&x + key->offset, (char *)&y + key->offset, key->size) != 0)
			fail_msg("%s: %s is not the library's default", key->name, key->preset);
	}
}

static void
test_presets(void **state)
{
	(void)state;
	check_presets(APP_VHOST, ZCNET_PORT_VHOST);
	check_presets(APP_ETHDEV, ZCNET_PORT_ETHDEV);
}

/* A file and the words that must stand in its error, behind the file's name. */
static const struct {
	const char *text;
	const char *says;
} wrong[] = {
	/* keys */
	{ VHOST "foo = 1\n", " [port g1] foo: no such key here; there are: path queues" },
	{ ETHDEV "path = /x\n", " [port n1] path: no such key here; there are: device" },
	{ VHOST "queues = 1\nqueues = 1\n", " [port g1] queues: given twice" },
	{ VHOST "type = vhost\n", " [port g1] type: no such key" },
	{ "[port g1]\npath = /x\n", " [port g1] type: missing; it is vhost|ethdev" },
	{ "[port g1]\ntype = tap\n", " [port g1] type: 'tap' is not vhost|ethdev" },
	{ "[port g1]\ntype = vhost\n", " [port g1] path: missing" },
	{ "[port n1]\ntype = ethdev\n", " [port n1] device: missing" },
	{ "[connect c]\na = g1\n", " [connect c] b: missing" },
	/* values */
	{ VHOST "queues = 0\n", " [port g1] queues: '0' is not 1..16" },
	{ VHOST "queues = 17\n", " [port g1] queues: '17' is not 1..16" },
	{ VHOST "queues = -1\n", " [port g1] queues: '-1' is not 1..16" },
	{ VHOST "queues = 0x2\n", " [port g1] queues: '0x2' is not 1..16" },
	{ VHOST "queues = 2 2\n", " [port g1] queues: '2 2' is not 1..16" },
	{ VHOST "queues = 4294967297\n", " [port g1] queues: '4294967297' is not 1..16" },
	{ VHOST "threshold = 65536\n", " [port g1] threshold: '65536' is not 0..65535" },
	{ VHOST "header-bytes = 257\n", " [port g1] header-bytes: '257' is not 0..256" },
	{ VHOST "out-max = 1025\n", " [port g1] out-max: '1025' is not 1..1024" },
	{ VHOST "client = maybe\n", " [port g1] client: 'maybe' is not on|off" },
	{ VHOST "zerocopy = 1\n", " [port g1] zerocopy: '1' is not on|off" },
	{ VHOST "rx-full = hold\n", " [port g1] rx-full: 'hold' is not drop|wait" },
	{ VHOST "mode = 0800\n", " [port g1] mode: '0800' is not octal, 0001..0777" },
	{ VHOST "mode = 01777\n", " [port g1] mode: '01777' is not octal" },
	{ VHOST "owner = no.such.user\n", " [port g1] owner: 'no.such.user' is not the name" },
	{ VHOST "group = no.such.group\n", " [port g1] group: 'no.such.group' is not the name" },
	{ VHOST "client = on\nmode = 0600\n", " [port g1] client: on, so the socket" },
	{ "[port g1]\ntype = vhost\npath = /" HUNDRED TEN "\n", "' is not 1..107 characters" },
	{ ETHDEV "mtu = 67\n", " [port n1] mtu: '67' is not 0 or 68..65535" },
	{ ETHDEV "split-bytes = 17\n", " [port n1] split-bytes: '17' is not 0 or 18..256" },
	{ ETHDEV "rx-desc = 32769\n", " [port n1] rx-desc: '32769' is not 0..32768" },
	/* names */
	{ "[port a/b]\ntype = vhost\n", " [port a/b] 'a/b' is no name" },
	{ "[port a b]\ntype = vhost\n", " [port a b] 'a b' is no name" },
	{ "[port all]\ntype = vhost\n", " [port all] 'all' is no name" },
	{ "[port " TEN TEN TEN "12]\ntype = vhost\n", "' is no name; accepted: 1..31" },
	{ "[port]\ntype = vhost\n", " [port] no such section; there are [port NAME]" },
	{ "[bridge b]\n", " [bridge b] no such section" },
	{ "[ports g1]\n", " [ports g1] no such section" },
	/* two of a kind */
	{ VHOST "[port g1]\ntype = ethdev\ndevice = x\n", " [port g1] there are two ports" },
	{ VHOST "[port g2]\ntype = vhost\npath = /tmp/g1\n",
			" [port g2] path: '/tmp/g1' is port g1's" },
	{ ETHDEV "[port n2]\ntype = ethdev\ndevice = net_tap0,iface=y\n",
			" [port n2] device: 'net_tap0,iface=y' is port n1's" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\n[connect c]\na = g1\nb = n1\n",
			" [connect c] there are two connections" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\n[connect d]\na = x\nb = g1\n",
			" [connect d] b: 'g1' is bound by connection c already" },
	/* references */
	{ VHOST "[connect c]\na = g1\nb = n9\n", " [connect c] b: there is no [port n9]" },
	{ VHOST "[connect c]\na = g9\nb = g1\n", " [connect c] a: there is no [port g9]" },
	{ VHOST "[connect c]\na = g1\nb = g1\n", " [connect c] b: 'g1' is a, too" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\nmac = 52:54:0:0\n",
			" [connect c] mac: '52:54:0:0' is not an address such as" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\nmac = 01:54:00:00:00:01\n",
			" [connect c] mac: '01:54:00:00:00:01' is not an address" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\nmac = 00:00:00:00:00:00\n",
			" [connect c] mac: '00:00:00:00:00:00' is not an address" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\nvlan = 4095\n",
			" [connect c] vlan: '4095' is not 1..4094" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\n"
		       "[connect d]\na = g1\nb = n1\nmac = 52:54:00:00:00:01\n",
			" [connect d] a: 'g1' is bound by connection c already" },
	{ VHOST ETHDEV "[connect c]\na = g1\nb = n1\nworker = 128\n",
			" [connect c] worker: '128' is not 0..127" },
	/* lines that rte_cfgfile would pass over, cut or misread */
	{ VHOST "zerocopy off\n", "4: 'zerocopy off' is neither [SECTION] nor KEY = VALUE" },
	{ "queues = 1\n" VHOST, "1: in front of the first [SECTION]" },
	{ VHOST "queues =\n", "4: queues: no value behind '='" },
	{ VHOST "queues = # none\n", "4: queues: no value behind '='" },
	{ VHOST "= 1\n", "4: no key in front of '='" },
	{ "[port g1\ntype = vhost\n", "1: a section is [port NAME]" },
	{ "[port g1] type = vhost\n", "1: a section is [port NAME]" },
	{ "[port " FIFTY TEN TEN "]\n", "1: a section of more than 63 characters" },
	{ VHOST FIFTY TEN TEN " = 1\n", "4: a key of more than 63 characters" },
	{ VHOST "path = " HUNDRED HUNDRED FIFTY TEN "\n", "a value of more than 255" },
	{ VHOST "# " HUNDRED HUNDRED HUNDRED FIFTY "\n", "4: more than 320 characters" },
	{ VHOST "owner = a\\#b\n", "4: a '#' starts a comment" },
};

static void
test_wrong(void **state)
{
	char err[APP_ERROR_MAX];
	struct app_config c;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(&c, 0xff, sizeof(c));
		strcpy(err, "nothing");
		if (load(wrong[i].text, &c, err) != -EINVAL)
			fail_msg("taken for good:\n%s", wrong[i].text);
		if (strncmp(err, file_name, strlen(file_name)) != 0 ||
				strstr(err, wrong[i].says) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", err, wrong[i].says);
		assert_null(c.ports);
		assert_null(c.conns);
	}
}

static void
test_zero_byte(void **state)
{
	static const char text[] = VHOST "queues = 1\0 5\n";
	char err[APP_ERROR_MAX];
	struct app_config c;

	(void)state;
	write_file(text, sizeof(text) - 1);
	assert_int_equal(app_config_load(file_name, &c, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, ":4: a zero byte"));
}

static void
test_not_a_file(void **state)
{
	char err[APP_ERROR_MAX];
	struct app_config c;

	(void)state;
	assert_int_equal(app_config_load("/no/such/file", &c, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "/no/such/file: No such file or directory");
	assert_int_equal(app_config_load("/", &c, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "/: not a regular file");
}

/* An error text is cut, never written past its end. */
static void
test_short_error(void **state)
{
	char err[24];
	struct app_config c;

	(void)state;
	memset(err, 'x', sizeof(err));
	write_file(VHOST "foo = 1\n", strlen(VHOST "foo = 1\n"));
	assert_int_equal(app_config_load(file_name, &c, err, 16), -EINVAL);
	assert_int_equal(err[15], '\0');
	assert_int_equal(err[16], 'x');
}

/* The root of the sources: given by the runner, else meson's place for build folders is used. */
static const char *
source_root(void)
{
	const char *root = getenv("ZC_ROOT");

	return root != NULL ? root : access("config/zcnet.conf", R_OK) == 0 ? "." : "..";
}

static void
test_sample(void **state)
{
	char err[APP_ERROR_MAX] = "", path[4096];
	struct app_config c;

	(void)state;
	snprintf(path, sizeof(path), "%s/config/zcnet.conf", source_root());
	if (app_config_load(path, &c, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_int_equal(c.port_count, 2);
	assert_int_equal(c.conn_count, 1);
	app_config_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_given),
		cmocka_unit_test(test_empty_is_nothing),
		cmocka_unit_test(test_many_sections),
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_zero_byte),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_short_error),
		cmocka_unit_test(test_sample),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
