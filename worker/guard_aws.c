/* SPDX-License-Identifier: MIT
 *
 * AWS: an autoscaling group never takes a protected machine to become smaller. A machine may have
 * several workers: each that is busy has a shared lock on one file, and one that becomes idle takes
 * the protection back when it gets the lock for itself alone, which it holds until that is said. A
 * worker that dies loses its lock with its life.
 * https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html */
#include "common/aws.h"
#include "worker/guard_source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define GROUP_TAG "tags/instance/aws:autoscaling:groupName"
#define LOOK_NS 20000000

int guard_aws_open(struct guard *guard, struct err *err)
{
    int fd = open(guard->options.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
    if (fd < 0)
        return err_set_errno(err, "guard-lock", "%s", guard->options.lock);
    int rc = aws_open(&(struct aws_options){.metadata = guard->options.metadata,
                                            .endpoint = guard->options.endpoint,
                                            .on_progress = guard_on_progress,
                                            .context = guard},
                      &guard->aws, err);
    if (rc < 0)
        close(fd);
    else
        guard->lock_fd = fd;
    return rc;
}

void guard_aws_close(struct guard *guard)
{
    if (!guard->aws)
        return;
    aws_close(&guard->aws);
    close(guard->lock_fd);
    guard->lock_fd = -1;
}

static int find_ourselves(struct guard *guard, struct err *err)
{
    struct err cause = {0};
    int rc = 0;
    if (!guard->instance[0])
        rc = aws_word(guard->aws, "instance-id", guard->instance, sizeof guard->instance, err);
    if (rc < 0 || guard->options.group || guard->group[0])
        return rc;
    rc = aws_word(guard->aws, GROUP_TAG, guard->group, sizeof guard->group, &cause);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, rc, "guard-group",
                       "the metadata has no tags of this machine: wanted --guard-group");
    return rc < 0 ? err_set(err, rc, cause.field, "%s", cause.text) : 0;
}

static int set_protection(struct guard *guard, const char *protect, struct err *err)
{
    int rc = find_ourselves(guard, err);
    if (rc < 0)
        return rc;
    const struct sigv4_pair members[] = {
        {"Action", "SetInstanceProtection"},
        {"Version", "2011-01-01"},
        {"AutoScalingGroupName", guard->options.group ? guard->options.group : guard->group},
        {"InstanceIds.member.1", guard->instance},
        {"ProtectedFromScaleIn", protect},
    };
    return aws_query(guard->aws, "autoscaling", members, sizeof members / sizeof members[0], err);
}

static int tell_busy(struct guard *guard, struct err *err)
{
    /* Somebody is just saying that all are idle: ours has to come behind it. */
    while (flock(guard->lock_fd, LOCK_SH | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_set_errno(err, "guard-lock", "%s", guard->options.lock);
        if (guard_ended(guard))
            return err_set(err, ERR_TIMEOUT, "guard-lock", "another worker does not let go of it");
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    return set_protection(guard, "true", err);
}

static int tell_idle(struct guard *guard, struct err *err)
{
    flock(guard->lock_fd, LOCK_UN);
    if (flock(guard->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK /* others are busy, or saying the same */
                   ? 0
                   : err_set_errno(err, "guard-lock", "%s", guard->options.lock);
    int rc = set_protection(guard, "false", err);
    flock(guard->lock_fd, LOCK_UN);
    return rc;
}

int guard_aws_tell(struct guard *guard, enum guard_word word, struct err *err)
{
    return word == GUARD_BUSY ? tell_busy(guard, err) : tell_idle(guard, err);
}
