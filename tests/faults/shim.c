/* What stands between the processes under test and their disk and clock: LD_PRELOAD, on Linux with glibc.

   A page of memory that the test shares with every process holds the faults of the moment (struct page). Everything
   that changes a file or a name below FAULTS_ROOT is also written to a journal of the process in FAULTS_JOURNALS, so
   that the test can work out what a loss of power would have left: see power.py, which reads it. */

#include "shim.h"

/* --- calls: content ----------------------------------------------------------------------------------------------- */

#define READS(name, call, ...) \
  ssize_t name(__VA_ARGS__) { \
    REAL(name); char path[PATH_MAX]; int error; \
    if (page && fd_below(fd, path) && (error = fault(NO_READ, path))) FAIL(error); \
    return real_##name call; }

READS(read, (fd, to, n), int fd, void *to, size_t n)
READS(pread, (fd, to, n, at), int fd, void *to, size_t n, off_t at)
READS(pread64, (fd, to, n, at), int fd, void *to, size_t n, off64_t at)
READS(readv, (fd, to, n), int fd, const struct iovec *to, int n)

static ssize_t wrote(int fd, ssize_t n, off_t at, const void *from) {
  if (n > 0) note(WRITE, inode_of(fd), at, from, n, NULL, 0);
  return n;
}

#define PWRITES(name, offset) \
  ssize_t name(int fd, const void *from, size_t n, offset at) { \
    REAL(name); char path[PATH_MAX]; int error; \
    if (!fd_below(fd, path)) return real_##name(fd, from, n, at); \
    if ((error = cannot_write(fd, path, at, n))) FAIL(error); \
    return wrote(fd, real_##name(fd, from, n, at), at, from); }

PWRITES(pwrite, off_t)
PWRITES(pwrite64, off64_t)

ssize_t write(int fd, const void *from, size_t n) {
  REAL(write); char path[PATH_MAX]; int error;
  if (!fd_below(fd, path)) return real_write(fd, from, n);
  if ((error = cannot_write(fd, path, lseek(fd, 0, SEEK_CUR), n))) FAIL(error);
  ssize_t done = real_write(fd, from, n);
  return wrote(fd, done, lseek(fd, 0, SEEK_CUR) - (done > 0 ? done : 0), from);
}

ssize_t writev(int fd, const struct iovec *from, int count) {
  REAL(writev); char path[PATH_MAX];
  if (!fd_below(fd, path)) return real_writev(fd, from, count);
  ssize_t all = 0;
  for (int i = 0; i < count; i++) {
    ssize_t done = write(fd, from[i].iov_base, from[i].iov_len);
    if (done < 0) return all ? all : -1;
    all += done;
    if ((size_t)done < from[i].iov_len) break;
  }
  return all;
}

#define TRUNCATES(name, offset) \
  int name(int fd, offset size) { \
    REAL(name); char path[PATH_MAX]; int error; struct stat st; \
    if (!fd_below(fd, path)) return real_##name(fd, size); \
    if (!fstat(fd, &st) && (error = no_room(path, size - st.st_size))) FAIL(error); \
    int done = real_##name(fd, size); \
    if (!done) note(TRUNCATE, inode_of(fd), size, NULL, 0, NULL, 0); \
    return done; }

TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

/* What else moves bytes in the kernel is refused, and whoever asked copies by hand. */
ssize_t sendfile(int to, int from, off_t *at, size_t n) {
  REAL(sendfile); char path[PATH_MAX];
  if (fd_below(to, path)) FAIL(EINVAL);
  return real_sendfile(to, from, at, n);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *into, size_t n, unsigned flags) {
  REAL(copy_file_range); char path[PATH_MAX];
  if (fd_below(to, path)) FAIL(EXDEV);
  return real_copy_file_range(from, at, to, into, n, flags);
}
int posix_fallocate(int fd, off_t at, off_t n) {
  REAL(posix_fallocate); char path[PATH_MAX];
  return fd_below(fd, path) ? EOPNOTSUPP : real_posix_fallocate(fd, at, n);
}

#define SYNCS(name) \
  int name(int fd) { \
    REAL(name); char path[PATH_MAX]; struct stat st; \
    if (!fd_below(fd, path) || fstat(fd, &st)) return real_##name(fd); \
    uint64_t before = atomic_load(&page->seq); \
    if (fault(FALSE_SYNC, path)) return 0; \
    fault(SLOW_SYNC, path); \
    int error = fault(NO_SYNC, path); \
    if (!error && real_##name(fd)) error = errno; \
    if (!S_ISDIR(st.st_mode)) note(error ? FAILED_SYNC : SYNC, st.st_ino, before, NULL, 0, NULL, 0); \
    else if (!error) note(SYNC_FOLDER, 0, before, path, strlen(path), NULL, 0); \
    if (error) FAIL(error); \
    return 0; }

SYNCS(fsync)
SYNCS(fdatasync)

/* --- calls: names ----------------------------------------------------------------------------------------------- */

static int opened(int folder, const char *name, int flags, mode_t mode) {
  char path[PATH_MAX];
  int error, writes = flags & (O_CREAT | O_TRUNC);
  if (!writes || (flags & O_TMPFILE) == O_TMPFILE || !name_below(folder, name, path))
    return RAW(SYS_openat, folder, name, flags, mode);
  int is_new = (flags & O_CREAT) && RAW(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
  if (is_new && ((error = fault(NO_WRITE, path)) || (error = no_room(path, NAME_BYTES)))) FAIL(error);
  int fd = RAW(SYS_openat, folder, name, flags, mode);
  if (fd >= 0 && is_new) note_names(CREATE, inode_of(fd), path, NULL);
  else if (fd >= 0 && (flags & O_TRUNC)) note(TRUNCATE, inode_of(fd), 0, NULL, 0, NULL, 0);
  return fd;
}

#define MODE(last) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, int); va_end(more); }

int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags, mode); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static int named(int done, enum op op, const char *path) {
  if (!done) note_names(op, 0, path, NULL);
  return done;
}

int mkdirat(int at, const char *name, mode_t mode) {
  char path[PATH_MAX]; int error;
  if (!name_below(at, name, path)) return RAW(SYS_mkdirat, at, name, mode);
  if ((error = fault(NO_WRITE, path)) || (error = no_room(path, NAME_BYTES))) FAIL(error);
  return named(RAW(SYS_mkdirat, at, name, mode), MKDIR, path);
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int unlinkat(int at, const char *name, int flags) {
  char path[PATH_MAX];
  if (!name_below(at, name, path)) return RAW(SYS_unlinkat, at, name, flags);
  return named(RAW(SYS_unlinkat, at, name, flags), flags & AT_REMOVEDIR ? RMDIR : UNLINK, path);
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
  int done = unlink(name);
  return done && errno == EISDIR ? rmdir(name) : done;
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  char one[PATH_MAX], two[PATH_MAX]; int error;
  if (!name_below(from_at, from, one) || !name_below(to_at, to, two))
    return RAW(SYS_renameat2, from_at, from, to_at, to, flags);
  if ((error = fault(NO_WRITE, two))) FAIL(error);
  int done = RAW(SYS_renameat2, from_at, from, to_at, to, flags);
  if (!done) note_names(RENAME, flags, one, two);
  return done;
}
int renameat(int a, const char *from, int b, const char *to) { return renameat2(a, from, b, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
  char one[PATH_MAX], two[PATH_MAX];
  int done = RAW(SYS_linkat, from_at, from, to_at, to, flags);
  if (!done && name_below(from_at, from, one) && name_below(to_at, to, two)) note_names(LINK, 0, one, two);
  return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlink(const char *target, const char *name) {
  char path[PATH_MAX];
  int done = RAW(SYS_symlinkat, target, AT_FDCWD, name);
  if (!done && name_below(AT_FDCWD, name, path)) note_names(SYMLINK, 0, target, path);
  return done;
}

/* ClickHouse renames by number. */
long syscall(long number, ...) {
  long a[6];
  va_list more;
  va_start(more, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(more, long);
  va_end(more);
  if (number == SYS_renameat2) return renameat2(a[0], (const char *)a[1], a[2], (const char *)a[3], a[4]);
  return RAW(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- calls: the clock ------------------------------------------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime);
  int done = real_clock_gettime(clock, now);
  if (!done && page && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t ns = now->tv_nsec + atomic_load(&page->clock_ns) % 1000000000 + 1000000000;
    now->tv_sec += atomic_load(&page->clock_ns) / 1000000000 + ns / 1000000000 - 1;
    now->tv_nsec = ns % 1000000000;
  }
  return done;
}

/* --- calls: connections ----------------------------------------------------------------------------------------- */

int connect(int fd, const struct sockaddr *to, socklen_t length) {
  REAL(connect);
  uint32_t from_port = page ? atomic_load(&page->ports) >> 16 : 0;
  if (!from_port || to->sa_family != AF_INET || ntohs(((const struct sockaddr_in *)to)->sin_port) != from_port)
    return real_connect(fd, to, length);
  struct sockaddr_in proxy = *(const struct sockaddr_in *)to;
  proxy.sin_port = htons(atomic_load(&page->ports) & 0xffff);
  return real_connect(fd, (const struct sockaddr *)&proxy, sizeof proxy);
}

/* chDB binds to its own library and to the C library before it looks here. Not below this. */
void *dlopen(const char *name, int flags) {
  REAL(dlopen);
  return real_dlopen(name, page ? flags & ~RTLD_DEEPBIND : flags);
}
