/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file: any text. What is accepted has to be whole: names that are names, ports
 * and connections that differ, connections between ports that exist.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "fuzz.h"

static char path[64];
static int fd;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fd = memfd_create("config", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* rte_cfgfile prints what it dislikes. */
	if (fd < 0 || freopen("/dev/null", "w", stdout) == NULL)
		abort();
	return 0;
}

static bool
is_port(const struct app_config *c, const char *name)
{
	for (unsigned int i = 0; i < c->port_count; i++)
		if (strcmp(c->ports[i].name, name) == 0)
			return true;
	return false;
}

static void
check(const struct app_config *c)
{
	char why[APP_ERROR_MAX];

	for (unsigned int i = 0; i < c->port_count; i++) {
		const struct app_port *p = &c->ports[i];

		FUZZ_CHECK(app_name_check(p->name, why, sizeof(why)) == 0, "%s", why);
		FUZZ_CHECK(app_port_check(p, why, sizeof(why)) == 0, "%s", why);
		for (unsigned int j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(c->ports[j].name, p->name) != 0, "two ports %s", p->name);
		if (p->type == ZCNET_PORT_VHOST)
			FUZZ_CHECK(p->path[0] != '\0' && p->vhost.queues >= 1 &&
							p->vhost.queues <= ZCNET_QUEUES_MAX,
					"port %s", p->name);
		else
			FUZZ_CHECK(p->device[0] != '\0', "port %s", p->name);
	}
	for (unsigned int i = 0; i < c->conn_count; i++) {
		FUZZ_CHECK(app_name_check(c->conns[i].name, why, sizeof(why)) == 0, "%s", why);
		for (unsigned int j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(c->conns[j].name, c->conns[i].name) != 0,
					"two connections %s", c->conns[i].name);
		FUZZ_CHECK(is_port(c, c->conns[i].a) && is_port(c, c->conns[i].b) &&
						strcmp(c->conns[i].a, c->conns[i].b) != 0,
				"connection %s", c->conns[i].name);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct app_config config;
	char err[APP_ERROR_MAX] = "";
	int ret;

	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	ret = app_config_load(path, &config, err, sizeof(err));
	if (ret == 0) {
		check(&config);
		app_config_free(&config);
	} else {
		FUZZ_CHECK(strncmp(err, path, strlen(path)) == 0, "no reason: '%s'", err);
		FUZZ_CHECK(config.ports == NULL && config.conns == NULL, "not empty");
	}
	return 0;
}
