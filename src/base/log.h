/* log.h - lines for people on stderr. Errors are printed once, by main; this is for everything else. */
#ifndef OFFRAMP_BASE_LOG_H
#define OFFRAMP_BASE_LOG_H

typedef enum or_log_level { OR_LOG_QUIET, OR_LOG_NORMAL, OR_LOG_VERBOSE } or_log_level;

/* From now on lines up to `level` are printed; with `rank` >= 0 they begin with the rank. */
void or_log_open(or_log_level level, int rank);

/* One line each: "offramp: warning: ..." (always but when quiet), notes, and details (--verbose). */
void or_log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void or_log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void or_log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
