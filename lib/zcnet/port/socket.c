/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost-user socket: its file, left over from an earlier run or to be given to somebody, and
 * its connections, which librte_vhost hides.
 */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../core/error.h"
#include "vhost.h"

/*
 * A front-end sends header and payload with one call, and reads answers before it asks on: one
 * that we wait for any longer means no good.
 */
#define REST_OF_MESSAGE_US 50000
#define ROOM_FOR_ANSWER_US 1000

/* 0: somebody listens; else errno of connect(). */
static int
try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return errno;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		err = errno;
	close(fd);
	return err;
}

int
zc_socket_remove_stale(const char *port, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ?
				0 :
				zc_fail(errno, "port %s: %s: %s", port, path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return zc_fail(EEXIST,
				"port %s: %s is not a socket: remove it, or choose another path",
				port, path);
	if (try_connect(path) != ECONNREFUSED)
		return zc_fail(EADDRINUSE,
				"port %s: %s is in use by another program: choose another path",
				port, path);
	if (unlink(path) < 0)
		return zc_fail(errno, "port %s: stale socket %s can't be removed: %s", port, path,
				strerror(errno));
	ZC_LOG(INFO, "port %s: removed stale socket %s", port, path);
	return 0;
}

int
zc_socket_check(const struct zcnet_vhost_conf *conf)
{
	if (conf->owner != NULL && getpwnam(conf->owner) == NULL)
		return zc_fail(EINVAL, "port %s: no user '%s'", conf->name, conf->owner);
	if (conf->group != NULL && getgrnam(conf->group) == NULL)
		return zc_fail(EINVAL, "port %s: no group '%s'", conf->name, conf->group);
	return 0;
}

int
zc_socket_own(const struct zcnet_vhost_conf *conf)
{
	const struct passwd *pw = conf->owner != NULL ? getpwnam(conf->owner) : NULL;
	const struct group *gr = conf->group != NULL ? getgrnam(conf->group) : NULL;

	if ((pw != NULL || gr != NULL) &&
			chown(conf->path, pw != NULL ? pw->pw_uid : (uid_t)-1,
					gr != NULL ? gr->gr_gid : (gid_t)-1) < 0)
		return zc_fail(errno, "port %s: chown %s: %s", conf->name, conf->path,
				strerror(errno));
	if (conf->mode != 0 && chmod(conf->path, conf->mode) < 0)
		return zc_fail(errno, "port %s: chmod %s: %s", conf->name, conf->path,
				strerror(errno));
	return 0;
}

typedef int (*name_of)(int fd, struct sockaddr *addr, socklen_t *len);

static bool
is_named(int fd, name_of name, const char *path)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	memset(&addr, 0, sizeof(addr));
	return name(fd, (struct sockaddr *)&addr, &len) == 0 && addr.sun_family == AF_UNIX &&
			strncmp(addr.sun_path, path, sizeof(addr.sun_path) - 1) == 0;
}

void
zc_socket_bound_waits(const char *path)
{
	const struct timeval rest = { .tv_usec = REST_OF_MESSAGE_US };
	const struct timeval room = { .tv_usec = ROOM_FOR_ANSWER_US };
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name);

		/* Ours when we listen, the peer's when it does. */
		if (!is_named(fd, getsockname, path) && !is_named(fd, getpeername, path))
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rest, sizeof(rest));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &room, sizeof(room));
	}
	if (dir != NULL)
		closedir(dir);
}
