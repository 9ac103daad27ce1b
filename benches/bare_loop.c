/* The yardstick of benches/launch.rs: the least a program can do to start and reap COUNT processes.
   No output files, no environment of its own, no records.

   bare_loop serial|burst COUNT PROGRAM [ARG...]
     serial: start one, wait for it, start the next
     burst:  start all, reaping in between what has ended, then wait for the rest
   prints two numbers: microseconds until the last was started, and until the last was reaped. */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bare_loop serial|burst COUNT PROGRAM [ARG...]\n");
        return 2;
    }
    int serial = strcmp(argv[1], "serial") == 0;
    long count = strtol(argv[2], NULL, 10), reaped = 0;
    long long begin = now_us();
    for (long started = 0; started < count; started++) {
        pid_t pid;
        int error = posix_spawnp(&pid, argv[3], NULL, NULL, argv + 3, environ);
        if (error != 0) {
            fprintf(stderr, "bare_loop: %s: %s\n", argv[3], strerror(error));
            return 1;
        }
        while (wait4(-1, NULL, serial ? 0 : WNOHANG, NULL) > 0)
            reaped++;
    }
    long long all_started = now_us() - begin;
    while (reaped < count && (wait4(-1, NULL, 0, NULL) > 0 || errno == EINTR))
        reaped++;
    printf("%lld %lld\n", all_started, now_us() - begin);
    return 0;
}
