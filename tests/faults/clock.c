/* A clock that jumps: loaded before the C library, it moves CLOCK_REALTIME by up to ten years, anew every 20 ms. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long jump(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    unsigned long state = now.tv_sec * 50UL + now.tv_nsec / 20000000UL;
    state = (state + 0x9e3779b97f4a7c15UL) * 0xbf58476d1ce4e5b9UL;
    return (long)((state >> 33) % 630720000UL) - 315360000L;
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    int failed = syscall(SYS_clock_gettime, clock, out);
    if (!failed && clock == CLOCK_REALTIME) out->tv_sec += jump();
    return failed;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
