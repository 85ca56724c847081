// Loaded into a process (LD_PRELOAD), this makes one of its calls that change files fail.
//
//   FAULT_KIND=kill   the process is killed before, after or in the middle of call FAULT_AT
//   FAULT_KIND=error  call FAULT_AT fails with EIO
//   FAULT_KIND=full   from call FAULT_AT on, nothing more can be written: ENOSPC
//   FAULT_COUNT=FILE  the number of such calls is written there when the process ends
//
// Calls that change files: write to a regular file, creating one, rename, mkdir, truncate, fsync, unlink, rmdir.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PASS, KILL_BEFORE, KILL_AFTER, KILL_MIDDLE, FAIL };

static atomic_long calls;
static long fault_at = -1;
static int is_kill, is_error, is_full;

__attribute__((constructor)) static void start(void) {
    const char *kind = getenv("FAULT_KIND"), *at = getenv("FAULT_AT");
    if (kind && at) {
        fault_at = atol(at);
        is_kill = !strcmp(kind, "kill");
        is_error = !strcmp(kind, "error");
        is_full = !strcmp(kind, "full");
    }
}

__attribute__((destructor)) static void end(void) {
    const char *path = getenv("FAULT_COUNT");
    if (!path) return;
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", atomic_load(&calls));
    int file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file >= 0) syscall(SYS_write, file, text, length);
}

// What happens to the call at hand. `writes`: whether it needs room on the disk.
static int verdict(int writes) {
    long call = atomic_fetch_add(&calls, 1) + 1;
    if (fault_at < 0 || call < fault_at) return PASS;
    if (is_full && writes) { errno = ENOSPC; return FAIL; }
    if (call != fault_at) return PASS;
    if (is_error) { errno = EIO; return FAIL; }
    if (is_kill) return KILL_BEFORE + call % 3;
    return PASS;
}

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); for (;;) pause(); }

static int is_regular(int file) {
    struct stat about;
    return syscall(SYS_fstat, file, &about) == 0 && S_ISREG(about.st_mode);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// A call that is made whole or not at all.
#define AROUND(type, writes, call)                                                     \
    switch (verdict(writes)) {                                                         \
    case FAIL: return (type)-1;                                                        \
    case KILL_BEFORE: die();                                                           \
    case KILL_AFTER: case KILL_MIDDLE: { (void)!(call); die(); }                       \
    default: return call;                                                              \
    }

ssize_t write(int file, const void *bytes, size_t count) {
    if (!is_regular(file)) return syscall(SYS_write, file, bytes, count);
    switch (verdict(1)) {
    case FAIL: return -1;
    case KILL_BEFORE: die();
    case KILL_MIDDLE: syscall(SYS_write, file, bytes, count / 2); die();
    case KILL_AFTER: syscall(SYS_write, file, bytes, count); die();
    default: return syscall(SYS_write, file, bytes, count);
    }
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (!is_regular(file)) return syscall(SYS_writev, file, parts, count);
    AROUND(ssize_t, 1, syscall(SYS_writev, file, parts, count))
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags) {
    AROUND(ssize_t, 1, syscall(SYS_copy_file_range, from, from_at, to, to_at, count, flags))
}

int rename(const char *from, const char *to) { AROUND(int, 0, REAL(rename)(from, to)) }
int mkdir(const char *path, mode_t mode) { AROUND(int, 1, REAL(mkdir)(path, mode)) }
int ftruncate(int file, off_t length) { AROUND(int, 0, REAL(ftruncate)(file, length)) }
int ftruncate64(int file, off64_t length) { AROUND(int, 0, REAL(ftruncate64)(file, length)) }
int fsync(int file) { AROUND(int, 0, REAL(fsync)(file)) }
int fdatasync(int file) { AROUND(int, 0, REAL(fdatasync)(file)) }
int unlink(const char *path) { AROUND(int, 0, REAL(unlink)(path)) }
int rmdir(const char *path) { AROUND(int, 0, REAL(rmdir)(path)) }
int unlinkat(int folder, const char *path, int flags) { AROUND(int, 0, REAL(unlinkat)(folder, path, flags)) }

#define OPEN(name, ...)                                                                \
    mode_t mode = 0;                                                                   \
    if (flags & (O_CREAT | O_TMPFILE)) {                                               \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode = va_arg(rest, mode_t);                                                   \
        va_end(rest);                                                                  \
    }                                                                                  \
    if (!(flags & O_CREAT)) return REAL(name)(__VA_ARGS__);                            \
    AROUND(int, 1, REAL(name)(__VA_ARGS__))

int open(const char *path, int flags, ...) { OPEN(open, path, flags, mode) }
int open64(const char *path, int flags, ...) { OPEN(open64, path, flags, mode) }
int openat(int folder, const char *path, int flags, ...) { OPEN(openat, folder, path, flags, mode) }
int openat64(int folder, const char *path, int flags, ...) { OPEN(openat64, folder, path, flags, mode) }
