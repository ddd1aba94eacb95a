/* The machine that Higgins runs on: its instruction set, its cores, its limits; and the runtime (a
 * thread pool and the kernel table) that every computing call is handed. */
#ifndef HIGGINS_MACHINE_H
#define HIGGINS_MACHINE_H

#include <higgins/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In rising order; a machine that has one has all of its family below it. */
typedef enum hg_isa {
    HG_ISA_C,      /* plain C17 */
    HG_ISA_AVX2,   /* x86-64 with AVX2, FMA, F16C */
    HG_ISA_AVX512, /* ... with AVX-512 F, BW, DQ, VL, VNNI and BF16 */
    HG_ISA_AMX,    /* ... and tiles: AMX with BF16 and bytes, where the system lets this process use
                      them */
    HG_ISA_NEON,   /* aarch64 with dot products of bytes (Armv8.2) */
    HG_N_ISA
} hg_isa;

/* Asks the system for the right to use AMX's registers, which it grants a process once for all of
 * its threads. */
HG_API hg_isa hg_isa_detect(void);
HG_API const char *hg_isa_name(hg_isa isa); /* "c", "avx2", "avx512", "amx", "neon" */
/* False when `name` is none of the above. */
HG_API bool hg_isa_parse(const char *name, hg_isa *out);

/* Whether this build has kernels of that set, whatever the machine has. */
HG_API bool hg_isa_is_built(hg_isa isa);

typedef struct hg_runtime hg_runtime;

/* n_threads 0: one for each core this process may use (affinity and cgroup quota). `cap` bounds the
 * instruction set from above; HG_N_ISA is no bound. Free it last. One runtime serves one computing
 * caller at a time. */
HG_API hg_status hg_runtime_new(hg_runtime **out, int n_threads, hg_isa cap, hg_err *e);
HG_API void hg_runtime_free(hg_runtime *rt);
HG_API int hg_runtime_threads(const hg_runtime *rt);
HG_API hg_isa hg_runtime_isa(const hg_runtime *rt);

typedef struct hg_machine_info {
    char cpu[64]; /* as the system names it */
    int n_cores;  /* that this process may use */
    hg_isa isa;
    uint64_t memory, memory_free; /* bytes; the cgroup's limit where it is lower */
    char joules_source[64];       /* "rapl", or "estimate: 5 W a core" */
} hg_machine_info;

HG_API void hg_machine_describe(hg_machine_info *out);

typedef struct hg_machine_rates {
    double read_gbs;                /* memory read, all threads, GB/s */
    double f32_gflops, bf16_gflops; /* matrix product in a shape that fits the caches, all threads;
                                       2 FLOP a multiply-add */
    double int8_gops;               /* products of bytes in registers, as quantised weights use */
} hg_machine_rates;

/* Measures for about `seconds`; needs 256 MiB. */
HG_API hg_status hg_machine_measure(hg_runtime *rt, double seconds, hg_machine_rates *out,
                                    hg_err *e);

/* What this build was made with, and the libraries as the running program finds them. */
typedef struct hg_library {
    const char *name;
    char version[24]; /* "" when the library does not tell */
} hg_library;

typedef struct hg_build_info {
    const char *compiler;   /* "gcc 12.2.0" */
    const char *build_type; /* "Release" */
    const char *sanitizers; /* "address,undefined"; "" where there are none */
    hg_library libraries[16];
    size_t n_libraries;
} hg_build_info;

HG_API void hg_build_describe(hg_build_info *out);

#ifdef __cplusplus
}
#endif
#endif
