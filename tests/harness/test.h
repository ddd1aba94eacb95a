/* The tests' harness. A case is a sentence that it proves; each runs in a process of its own with a
 * time limit, so that a crash or a hang fails one case and not the run. The last line of a program
 * is `N passed, N failed, N skipped`.
 *
 *   TEST(tokenizer_refuses_an_empty_vocabulary) { ... CHECK_EQ(s, HG_E_FORMAT); CHECK_STR(e.msg,
 * "..."); }
 */
#ifndef HG_TESTS_TEST_H
#define HG_TESTS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct test_case {
    const char *name, *file;
    int line;
    void (*run)(void);
    int seconds;
    struct test_case *next;
} test_case;

void test_register(test_case *t);
void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A folder of this case's own, empty, removed when the case ends. */
const char *test_folder(void);
/* "<folder>/<name>" of it; lives until the case ends. */
const char *test_path(const char *name);
/* The path of a file below the data folder that lies beside the project (environment HG_TEST_DATA,
 * default ../shared/data), or a skip when it is not there. */
const char *test_data(const char *name);

#define TEST_SECONDS(name_, limit_)                                                           \
    static void test_##name_(void);                                                           \
    static test_case case_##name_ = {#name_, __FILE__, __LINE__, test_##name_, limit_, NULL}; \
    __attribute__((constructor)) static void register_##name_(void)                           \
    {                                                                                         \
        test_register(&case_##name_);                                                         \
    }                                                                                         \
    static void test_##name_(void)
#define TEST(name_) TEST_SECONDS(name_, 60)

/* A failed CHECK ends the case. */
#define CHECK(cond)                                              \
    do {                                                         \
        if (!(cond)) test_fail(__FILE__, __LINE__, "%s", #cond); \
    } while (0)
#define CHECK_EQ(a, b)                                                                   \
    do {                                                                                 \
        long long a_ = (long long)(a), b_ = (long long)(b);                              \
        if (a_ != b_) test_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #a, a_, b_); \
    } while (0)
#define CHECK_STR(a, b) test_check_str(__FILE__, __LINE__, #a, (a), (b))
#define CHECK_HAS(a, part) test_check_has(__FILE__, __LINE__, #a, (a), (part))
#define CHECK_NEAR(a, b, bound)                                                                 \
    do {                                                                                        \
        double a_ = (double)(a), b_ = (double)(b), d_ = a_ > b_ ? a_ - b_ : b_ - a_;            \
        if (!(d_ <= (double)(bound)))                                                           \
            test_fail(__FILE__, __LINE__, "%s is %.9g, not %.9g (off by %.3g, bound %.3g)", #a, \
                      a_, b_, d_, (double)(bound));                                             \
    } while (0)
/* An hg call that must succeed; `e` is the hg_err it was given. */
#define CHECK_OK(call, e)                                                             \
    do {                                                                              \
        if ((call) != HG_OK) test_fail(__FILE__, __LINE__, "%s: %s", #call, (e).msg); \
    } while (0)

void test_check_str(const char *file, int line, const char *what, const char *a, const char *b);
void test_check_has(const char *file, int line, const char *what, const char *a, const char *part);

#endif
