/* What the calls of shim.c share: the page of faults, paths, and the journal. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { NO_ROOM = 1, NO_WRITE, NO_READ, NO_SYNC, SLOW_SYNC, FALSE_SYNC };
enum op { WRITE = 1, TRUNCATE, SYNC, FAILED_SYNC, CREATE, MKDIR, RENAME, UNLINK, RMDIR, LINK, SYMLINK, SYNC_FOLDER };

struct rule {
  _Atomic int32_t on;    /* an enum kind, 0 for none */
  int32_t error;         /* errno of what fails */
  _Atomic int64_t bytes; /* NO_ROOM: so many more may be written */
  _Atomic int64_t times; /* so often more, negative for ever */
  int64_t delay_ms;
  _Atomic uint64_t hits;
  char under[256]; /* begins the path */
  char part[64];   /* is somewhere in the path */
};

#define RULES 16

struct page {
  _Atomic uint64_t seq;
  _Atomic int64_t clock_ns; /* added to the wall clock */
  _Atomic uint32_t journal; /* whether changes are written down */
  _Atomic uint32_t ports;   /* who connects to the port in the upper half gets the one in the lower half */
  struct rule rules[RULES];
};

struct head {
  uint32_t op, unused;
  uint64_t seq, a, b;
  uint32_t n1, n2;
};

static struct page *page;
static char root[PATH_MAX], journals[PATH_MAX];
static size_t root_length;
static int journal = -1, journal_pid;

/* The kernel, past the calls of shim.c; needed before the constructor has run, too. */
static inline long (*kernel(void))(long, ...) {
  static long (*raw)(long, ...);
  if (!raw) raw = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return raw;
}
#define RAW(...) kernel()(__VA_ARGS__)

#define REAL(name) \
  static __typeof__(name) *real_##name; \
  if (!real_##name) real_##name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  const char *control = getenv("FAULTS_PAGE"), *below = getenv("FAULTS_ROOT"), *into = getenv("FAULTS_JOURNALS");
  if (!control || !below || !into) return;
  int fd = RAW(SYS_openat, AT_FDCWD, control, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  void *memory = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  RAW(SYS_close, fd);
  if (memory == MAP_FAILED) return;
  snprintf(root, sizeof root, "%s/", below);
  snprintf(journals, sizeof journals, "%s", into);
  root_length = strlen(root);
  page = memory;
}

/* --- where ------------------------------------------------------------------------------------------------------ */

static void tidy(char *path) {
  char *to = path;
  for (char *from = path; *from; from++) {
    if (from[0] == '/' && from[1] == '/') continue;
    if (from[0] == '/' && from[1] == '.' && (from[2] == '/' || !from[2])) { from++; continue; }
    *to++ = *from;
  }
  while (to > path + 1 && to[-1] == '/') to--;
  *to = 0;
}

static int path_of_fd(int fd, char *path) {
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = RAW(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  path[n > 0 ? n : 0] = 0;
  return n > 0;
}

static int below_root(const char *path) {
  return !strncmp(path, root, root_length) || (!strncmp(path, root, root_length - 1) && !path[root_length - 1]);
}

static int fd_below(int fd, char *path) { return page && path_of_fd(fd, path) && below_root(path); }

static int name_below(int folder, const char *name, char *path) {
  if (!page || !name) return 0;
  if (name[0] == '/') snprintf(path, PATH_MAX, "%s", name);
  else {
    char at[PATH_MAX];
    if (folder == AT_FDCWD ? !getcwd(at, sizeof at) : !path_of_fd(folder, at)) return 0;
    if (snprintf(path, PATH_MAX, "%s/%s", at, name) >= PATH_MAX) return 0;
  }
  tidy(path);
  return below_root(path);
}

/* --- faults ----------------------------------------------------------------------------------------------------- */

static int hits(struct rule *rule, int kind, const char *path) {
  return atomic_load(&rule->on) == kind && !strncmp(path, rule->under, strlen(rule->under)) && strstr(path, rule->part);
}

static int taken(struct rule *rule) {
  int64_t left = atomic_load(&rule->times);
  while (left > 0 && !atomic_compare_exchange_weak(&rule->times, &left, left - 1)) continue;
  if (left) atomic_fetch_add(&rule->hits, 1);
  return left != 0;
}

/* Give the errno with which a call of this kind fails, 0 where it does not. */
static int fault(int kind, const char *path) {
  for (struct rule *rule = page->rules; rule < page->rules + RULES; rule++) {
    if (!hits(rule, kind, path) || !taken(rule)) continue;
    if (rule->delay_ms) {
      struct timespec pause = {rule->delay_ms / 1000, rule->delay_ms % 1000 * 1000000};
      nanosleep(&pause, NULL);
    }
    if (kind == FALSE_SYNC) return 1;
    if (rule->error) return rule->error;
  }
  return 0;
}

/* Give the errno with which a file or folder cannot grow by so many bytes, or get a new name. */
static int no_room(const char *path, int64_t growth) {
  for (struct rule *rule = page->rules; rule < page->rules + RULES; rule++)
    if (growth > 0 && hits(rule, NO_ROOM, path) && atomic_fetch_sub(&rule->bytes, growth) < growth && taken(rule))
      return rule->error;
  return 0;
}

#define FAIL(error) do { errno = (error); return -1; } while (0)
#define NAME_BYTES 4096
/* What a new name takes: a block of its folder, and its inode. */

static int cannot_write(int fd, const char *path, off_t offset, size_t n) {
  struct stat st;
  int error = fault(NO_WRITE, path);
  if (error || fstat(fd, &st)) return error;
  if (fcntl(fd, F_GETFL) & O_APPEND) offset = st.st_size;
  return no_room(path, offset + (off_t)n - st.st_size);
}

/* --- journal ---------------------------------------------------------------------------------------------------- */

static void put(const void *from, size_t n) {
  while (n) {
    ssize_t done = RAW(SYS_write, journal, from, n);
    if (done <= 0) abort();
    from = (const char *)from + done, n -= done;
  }
}

static void note(enum op op, uint64_t a, uint64_t b, const void *one, size_t n1, const void *two, size_t n2) {
  static _Atomic int busy;
  if (!atomic_load(&page->journal)) return;
  int kept = errno;
  while (atomic_exchange(&busy, 1)) RAW(SYS_sched_yield);
  if (journal_pid != getpid()) {
    char name[PATH_MAX + 32];
    journal_pid = getpid();
    snprintf(name, sizeof name, "%s/%d", journals, journal_pid);
    int fd = RAW(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    journal = fcntl(fd, F_DUPFD_CLOEXEC, 700);
    RAW(SYS_close, fd);
    if (journal < 0) abort();
  }
  struct head head = {op, 0, atomic_fetch_add(&page->seq, 1), a, b, n1, n2};
  put(&head, sizeof head), put(one, n1), put(two, n2);
  atomic_store(&busy, 0);
  errno = kept;
}

static uint64_t inode_of(int fd) {
  struct stat st;
  return fstat(fd, &st) ? 0 : st.st_ino;
}

static void note_names(enum op op, uint64_t a, const char *one, const char *two) {
  note(op, a, 0, one, strlen(one), two, two ? strlen(two) : 0);
}
