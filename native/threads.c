/* A pool of threads that wait for work: for a moment by looking, then asleep. See threads.h. */
#define _GNU_SOURCE /* sched_getcpu and the like */
#include "threads.h"
#include "subnormals.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#if defined(__linux__)
#include <sched.h>
#endif

#if defined(__x86_64__)
#define PAUSE __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE __asm__ volatile("yield")
#else
#define PAUSE ((void)0)
#endif

enum { MOST = 63, LOOKS = 4000 }; /* looks before sleeping: about 50 us */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows but the atomics */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, finished = PTHREAD_COND_INITIALIZER;
static int made, asleep; /* workers there are, and those that sleep */
static atomic_flag taken = ATOMIC_FLAG_INIT;

static _Atomic uint64_t ticket; /* number of the job at hand */
static void (*job_work)(void *, int64_t);
static void *job_argument;
static int64_t job_items;
static int job_processor;            /* where the caller runs */
static int job_workers;              /* workers 0 to job_workers - 1 take part */
static atomic_llong next_item;
static atomic_int busy;              /* workers that still take part */

#if defined(__linux__)
static int processor(void) { return sched_getcpu(); }

/* A worker that finds itself on the caller's processor would share it from then on, for the system seldom moves a thread
   that computes, even where another processor is idle. It leaves once; where it may run stays as it was. */
static void step_aside(int from) {
  cpu_set_t may, rest;
  if (sched_getcpu() != from || sched_getaffinity(0, sizeof may, &may)) return;
  rest = may;
  CPU_CLR(from, &rest);
  if (!CPU_COUNT(&rest)) return;
  if (!sched_setaffinity(0, sizeof rest, &rest)) sched_setaffinity(0, sizeof may, &may);
}
#else
static int processor(void) { return 0; }
static void step_aside(int from) { (void)from; }
#endif

static void take_items(void) {
  for (int64_t i; (i = atomic_fetch_add(&next_item, 1)) < job_items;) job_work(job_argument, i);
}

static void *worker(void *number) {
  int me = (int)(intptr_t)number;
  uint64_t seen = 0;
  flush_subnormals();
  for (;;) {
    for (int looks = 0; looks < LOOKS && atomic_load(&ticket) == seen; looks++) PAUSE;
    pthread_mutex_lock(&lock);
    while (atomic_load(&ticket) == seen) {
      asleep++;
      pthread_cond_wait(&wake, &lock);
      asleep--;
    }
    seen = atomic_load(&ticket);
    int mine = me < job_workers, from = job_processor;
    pthread_mutex_unlock(&lock);
    if (!mine) continue;
    step_aside(from);
    take_items();
    if (atomic_fetch_sub(&busy, 1) == 1) {
      pthread_mutex_lock(&lock);
      pthread_cond_signal(&finished);
      pthread_mutex_unlock(&lock);
    }
  }
  return NULL;
}

/* A forked child has none of the threads, and whatever the parent was doing does not go on in it. */
static void forget(void) {
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&wake, NULL);
  pthread_cond_init(&finished, NULL);
  made = asleep = 0;
  atomic_store(&busy, 0);
  atomic_flag_clear(&taken);
}

static void make(int wanted) {
  while (made < wanted) {
    pthread_t thread;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &attributes, worker, (void *)(intptr_t)made);
    pthread_attr_destroy(&attributes);
    if (failed) return; /* fewer threads do the same work */
    made++;
  }
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget); }

void compuerta_parallel(int64_t items, int64_t threads, void (*work)(void *, int64_t), void *argument) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  int64_t others = (threads < items ? threads : items) - 1;
  if (others > MOST) others = MOST;
  if (others < 1 || atomic_flag_test_and_set(&taken)) {
    for (int64_t i = 0; i < items; i++) work(argument, i);
    return;
  }
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&lock);
  make((int)others);
  if (others > made) others = made;
  job_work = work, job_argument = argument, job_items = items, job_workers = (int)others;
  job_processor = processor();
  atomic_store(&next_item, 0);
  atomic_store(&busy, (int)others);
  atomic_fetch_add(&ticket, 1);
  if (asleep) pthread_cond_broadcast(&wake);
  pthread_mutex_unlock(&lock);
  take_items();
  for (int looks = 0; looks < LOOKS && atomic_load(&busy); looks++) PAUSE;
  if (atomic_load(&busy)) {
    pthread_mutex_lock(&lock);
    while (atomic_load(&busy)) pthread_cond_wait(&finished, &lock);
    pthread_mutex_unlock(&lock);
  }
  atomic_flag_clear(&taken);
}
