/* Stands before libc in the programs of a lab under fire: a slow disk, a full disk, and a clock that is wrong, as a page of
 * memory says that they share with the harness. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t sync_delay_us;
    volatile int64_t clock_offset_ms;
    volatile int64_t disk_is_full;
};
static const struct control nothing;
static const struct control *control = &nothing;

__attribute__((constructor)) static void find_control(void)
{
    const char *path = getenv("TRAINMASTER_FIRE_CONTROL");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED)
        control = page;
}

static void wait_for_the_disk(void)
{
    int64_t delay = control->sync_delay_us;
    if (delay > 0) {
        struct timespec time = {delay / 1000000, delay % 1000000 * 1000};
        nanosleep(&time, NULL);
    }
}

int fsync(int file)
{
    wait_for_the_disk();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    wait_for_the_disk();
    return (int)syscall(SYS_fdatasync, file);
}

static int has_no_room(int file)
{
    struct stat status;
    if (!control->disk_is_full || fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    return has_no_room(file) ? -1 : syscall(SYS_write, file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset)
{
    return has_no_room(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset)
{
    return has_no_room(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, offset);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    return has_no_room(file) ? -1 : syscall(SYS_writev, file, parts, count);
}

typedef int clock_function(clockid_t, struct timespec *);

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static clock_function *real;
    if (!real)
        real = (clock_function *)dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    int64_t offset = control->clock_offset_ms;
    if (result == 0 && offset != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t nanoseconds = time->tv_nsec + offset % 1000 * 1000000;
        time->tv_sec += offset / 1000;
        if (nanoseconds < 0) {
            time->tv_sec -= 1;
            nanoseconds += 1000000000;
        } else if (nanoseconds >= 1000000000) {
            time->tv_sec += 1;
            nanoseconds -= 1000000000;
        }
        time->tv_nsec = nanoseconds;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
